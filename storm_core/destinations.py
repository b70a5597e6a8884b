"""Where a stage's outputs go: written beside their destination, and moved there when they are whole."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from storm_core.errors import InputError
from storm_core.manifest import MANIFEST_NAME
from storm_core.stores.staging import StagingArea
from storm_core.stores.store import Store


@contextlib.contextmanager
def staging(output: Path, store: Store | None) -> Iterator[Path]:
    """An empty directory on the file system where the output will live; removed unless it was moved away."""
    if store:
        directory = store.staging_directory()
    else:
        # What killed runs left beside the output is swept away.
        beside = StagingArea(output.parent, prefix=f".{output.name}.partial-")
        directory = beside.new_directory()
    directory.chmod(0o755)  # mkdtemp makes it private; what is published is for other users too.
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def check_replaceable(output: Path) -> None:
    """Refuse to replace anything but nothing, an empty directory, or an artifact; or to write below a file.

    Raises:
        InputError: it names what is there.
    """
    if output.is_dir():
        if any(output.iterdir()) and not (output / MANIFEST_NAME).is_file():
            raise InputError(f"{output} holds files that no stage wrote; choose another output or empty it")
    elif output.exists():
        raise InputError(f"{output} is a file; an output is a directory")
    for parent in output.parents:
        if parent.exists() and not parent.is_dir():
            raise InputError(f"{output} cannot be made, as {parent} is a file; choose another output")


def replace_directory(source: Path, target: Path) -> None:
    """Move the directory `source` to the place of `target`."""
    if target.exists():
        shutil.rmtree(target)
    source.rename(target)
