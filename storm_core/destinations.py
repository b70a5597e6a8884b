"""Where a stage's outputs go: written beside their destination, and moved there when they are whole.

What cannot be renamed, as the mount point of a volume, is written within, hidden, and its manifest comes last.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from storm_core.artifacts import UNFINISHED_NAME
from storm_core.errors import InputError
from storm_core.manifest import MANIFEST_NAME
from storm_core.places import check_parents, check_place
from storm_core.stopping import in_one_piece
from storm_core.stores.staging import StagingArea
from storm_core.stores.store import Store

# What a file system has in its root.
_OF_THE_DISK = "lost+found"


def beside(output: Path) -> Path:
    """The directory for what is hidden near the output: the one above it, or itself where it cannot be renamed."""
    return output if _is_fixed(output) else output.parent


@contextlib.contextmanager
def staging(output: Path, store: Store | None) -> Iterator[Path]:
    """An empty directory on the file system where the output will live; removed unless it was moved away."""
    if store:
        directory = store.staging_directory()
    else:
        # What killed runs left beside the output is swept away; what is held, as by this area, is not.
        area = StagingArea(beside(output), prefix=f".{output.name}.partial-")
        directory = area.new_directory()
    directory.chmod(0o755)  # mkdtemp makes it private; what is published is for other users too.
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def check_outputs(outputs: Mapping[str, Path], inputs: Sequence[str]) -> None:
    """Refuse, before any work, what could not be written after it, or would take the place of something else.

    Raises:
        InputError: an output is what was not made by a stage, holds an input or another output, or cannot be written.
    """
    for output in outputs.values():
        check_replaceable(output)
        check_writable(output if _is_fixed(output) else output.parent)
    places = [Path(os.path.realpath(output)) for output in outputs.values()]
    for number, place in enumerate(places):
        if any(place.is_relative_to(other) for other in places[:number] + places[number + 1 :]):
            raise InputError(f"{list(outputs.values())[number]} is, or lies in, another output; give each a directory")
    for reference in inputs:
        if "://" not in reference and any(_read_at(reference).is_relative_to(place) for place in places):
            raise InputError(f"the input {reference} would be replaced by an output; choose another output")


def _read_at(reference: str) -> Path:
    """The directory or file that a local reference leads to."""
    read = Path(os.path.realpath(reference))
    return read.parent if read.name == MANIFEST_NAME else read


def check_replaceable(output: Path) -> None:
    """Refuse to replace anything but nothing, an empty directory, or an artifact; or to write below a file.

    Raises:
        InputError: it names what is there.
    """
    if output.is_dir():
        if holds_files(output) and not any((output / name).is_file() for name in (MANIFEST_NAME, UNFINISHED_NAME)):
            raise InputError(f"{output} holds files that no stage wrote; choose another output or empty it")
    elif output.exists():
        raise InputError(f"{output} is a file; an output is a directory")
    check_parents(output)


def holds_files(output: Path) -> bool:
    """Whether anything lies in the directory that its replacement would remove."""
    return bool(_visible(output)) if _is_fixed(output) else any(output.iterdir())


def check_files(files: Sequence[Path], outputs: Mapping[str, Path], inputs: Sequence[str]) -> None:
    """Refuse, before any work, a file that could not be written after it, or would take the place of something else.

    Raises:
        InputError: it is a directory, lies below a file or where nothing may be written, is an output's place, or is
            a file of an input.
    """
    for file in files:
        check_file(file)
        place = Path(os.path.realpath(file))
        for output in outputs.values():
            if Path(os.path.realpath(output)).is_relative_to(place):
                raise InputError(f"{file} is to be a file, and {output} an output, which is a directory")
        for reference in inputs:
            if "://" not in reference and file.exists() and place.is_relative_to(_read_at(reference)):
                raise InputError(f"{file} is a file of the input {reference}, which would be changed; choose another")


def check_file(file: Path) -> None:
    """Refuse a file that could not be written when the work is done.

    Raises:
        InputError: it is a directory, lies below a file, or where nothing may be written.
    """
    if file.is_dir():
        raise InputError(f"{file} is a directory; name a file")
    check_parents(file)
    check_writable(file if file.exists() else file.parent)


def check_directory(directory: Path) -> None:
    """Refuse a directory that could not be made, or written.

    Raises:
        InputError: it is a file, lies below one, is a link that leads nowhere, or nothing may be written there.
    """
    check_place(directory)
    check_writable(directory)


def check_writable(path: Path) -> None:
    """Refuse a path that may not be written, or made.

    Raises:
        InputError: it names the nearest directory that is there.
    """
    nearest = next(one for one in (path, *path.absolute().parents) if one.exists())
    if not os.access(nearest, os.W_OK | (os.X_OK if nearest.is_dir() else 0)):
        raise InputError(f"{path} cannot be written: no permission to write to {nearest}, or its disk is read-only")


def replace_directory(source: Path, target: Path) -> None:
    """Move the directory `source` to the place of `target`; where it lies in `target`, what it holds.

    What was there goes only after the new is in its place.
    """
    if source.parent == target:
        _replace_within(source, target)
        return
    earlier = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.partial-"))
    try:
        with in_one_piece():
            if target.exists():
                target.rename(earlier)
            source.rename(target)
    finally:
        shutil.rmtree(earlier, ignore_errors=True)


def _replace_within(source: Path, target: Path) -> None:
    """Without its manifest, and with the mark of what is unfinished, nobody reads the directory meanwhile."""
    earlier = Path(tempfile.mkdtemp(dir=source))
    (target / UNFINISHED_NAME).touch()
    with in_one_piece():
        for path in sorted(_visible(target), key=lambda path: path.name != MANIFEST_NAME):
            path.rename(earlier / path.name)
        for path in sorted(_visible(source), key=lambda path: path.name == MANIFEST_NAME):
            if path != earlier:
                path.rename(target / path.name)
    (target / UNFINISHED_NAME).unlink()
    shutil.rmtree(source, ignore_errors=True)


def _visible(directory: Path) -> list[Path]:
    return [path for path in directory.iterdir() if not path.name.startswith(".") and path.name != _OF_THE_DISK]


def _is_fixed(output: Path) -> bool:
    """Whether the directory cannot be renamed: a disk is mounted there, or the directory above it is not ours."""
    if not output.is_dir():
        return False
    return _is_mount_point(output) or not os.access(output.absolute().parent, os.W_OK | os.X_OK)


def _is_mount_point(directory: Path) -> bool:
    """Whether something is mounted there, a directory of the same disk too, which only Linux tells."""
    if directory.is_mount():
        return True
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:  # no Linux
        return False
    # Field 5 of proc(5)'s `mountinfo`; what would break a line is written in octal.
    written = os.path.realpath(directory)
    for character, octal in (("\\", r"\134"), (" ", r"\040"), ("\t", r"\011"), ("\n", r"\012")):
        written = written.replace(character, octal)
    return written in {line.split(" ")[4] for line in lines}
