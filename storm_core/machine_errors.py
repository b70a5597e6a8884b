"""What a machine refuses and no change of the code mends: a full disk, no permission. Told in one line, by the file."""

import errno
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType

from storm_core.errors import InputError, StoreError
from storm_core.introduction import bytes_in_words

_FULL = (errno.ENOSPC, errno.EDQUOT)
_REFUSALS = (
    *_FULL,
    *(errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.ESTALE, errno.ENOTCONN),
    *(errno.ENAMETOOLONG, errno.ELOOP, errno.EMFILE, errno.ENFILE, errno.ENOTDIR),
    # As file systems of a network or in user space say what they do not have: locks, links.
    *(errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK),
)
# As the C library, Rust's (safetensors, tokenizers) and SQLite say it, in errors of kinds of their own.
_FULL_WORDS = {
    "No space left on device": errno.ENOSPC,
    "Disk quota exceeded": errno.EDQUOT,
    "database or disk is full": errno.ENOSPC,
}
# Python's own where no directory for temporary files takes one.
_NO_TEMPORARY_DIRECTORY = "No usable temporary directory"


def refusal(error: OSError) -> str | None:
    """One line on what the machine refused and where; None for an error that is another's fault."""
    if _NO_TEMPORARY_DIRECTORY in str(error):
        return f"{error.strerror}; make room there, or set TMPDIR"
    if error.errno == errno.ENOENT and error.filename is None:  # As `getcwd` says it.
        return "the current directory is not there any more; change to one that is"
    if error.errno not in _REFUSALS:
        return None
    return f"{error.strerror}: {_written(error) or 'while writing an output'}"


class NamesFullDisk:
    """Gives an error that says the disk is full, whatever kind it is of, the name of what was to be written there."""

    def __init__(self, places: Mapping[Path, Path]) -> None:
        """`places` are the directories that are written, each with the path that a person knows it by."""
        self._places = places

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if error is None or isinstance(error, InputError | StoreError) or (full := _full(error)) is None:
            return
        place = self._place(full)
        if place is not None:
            raise OSError(full.errno, full.strerror, str(place)) from error

    def _place(self, full: OSError) -> Path | None:
        """What the error is about: the file that it names, or else the place with the least room."""
        written = _written(full)
        if written is None:
            return min(self._places.items(), key=lambda item: free_bytes(item[0]))[1] if self._places else None
        known = (shown for place, shown in self._places.items() if Path(written).is_relative_to(place))
        return next(known, Path(written))


def check_room(directory: Path, needed: int, what: str) -> None:
    """Refuse to begin to write `needed` bytes below `directory` where there is no room for them.

    Raises:
        OSError: that of a full disk, ENOSPC.
    """
    free = free_bytes(directory)
    if needed > free:
        lacking = f"{bytes_in_words(needed)} more are needed, and {bytes_in_words(free)} are free"
        raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)} for {what}, {lacking}", str(directory))


def directory_bytes(directory: Path) -> int:
    """What the files below the directory take."""
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def free_bytes(path: Path) -> int:
    """Room on the disk of `path`, or of the nearest directory above it that is there."""
    return shutil.disk_usage(next(one for one in (path, *path.absolute().parents) if one.exists())).free


def _full(error: BaseException) -> OSError | None:
    """The error of a full disk that `error` is, or was raised from."""
    for one in _chain(error):
        if isinstance(one, OSError) and one.errno in _FULL:
            return one
        for words, number in _FULL_WORDS.items():
            if words in str(one):
                return OSError(number, os.strerror(number))
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    one: BaseException | None = error
    while one is not None:
        yield one
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)


def _written(error: OSError) -> str | None:
    """The file that was written; of a copy Python names the one that was read first."""
    name = error.filename2 if error.filename2 is not None else error.filename
    return None if name is None else os.fsdecode(name) if isinstance(name, str | bytes) else str(name)
