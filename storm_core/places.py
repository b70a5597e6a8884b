"""Where a directory can be: not in a file, and not where a link leads nowhere."""

import os
from pathlib import Path

from storm_core.errors import InputError


def followed(output: Path) -> Path:
    """Where `output` leads: what is written through a link lies where that points.

    Raises:
        InputError: it is a link that leads nowhere, or lies below one.
    """
    for path in (output, *output.parents):
        if path.is_symlink() and not path.exists():
            target = path.readlink()
            raise InputError(f"{path} is a link to {target}, which is not there; make it, or mount its disk")
    return Path(os.path.realpath(output)) if output.is_symlink() else output


def check_place(directory: Path) -> None:
    """Refuse a place where there can be no directory.

    Raises:
        InputError: it is a file, lies below one, or is a link that leads nowhere.
    """
    followed(directory)
    if directory.exists() and not directory.is_dir():
        raise InputError(f"{directory} is a file; name a directory")
    check_parents(directory)


def check_parents(path: Path) -> None:
    """Refuse a path below a file.

    Raises:
        InputError: it names the file.
    """
    for parent in path.parents:
        if parent.exists() and not parent.is_dir():
            raise InputError(f"{path} cannot be made, as {parent} is a file; choose another output")
