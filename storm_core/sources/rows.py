"""What a source adapter yields for each row of its data, and the files it may read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from storm_core.artifacts import Artifact
from storm_core.errors import InputError
from storm_core.records import Message

# Key in the meta of a sound row that is no good to learn from: the reason. As evaluation data it still counts.
UNFIT = "unfit"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One conversation as its source holds it.

    Attributes:
        place: where it stands: file relative to the data directory, a colon, and line, row number or ID.
        meta: what else the source says of it; `tools`, where present, lists the names of the functions on offer.
    """

    place: str
    messages: tuple[Message, ...]
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """A malformed row: where it stands and what is wrong with it."""

    place: str
    reason: str


def files_under(data: Artifact, path: str, suffixes: tuple[str, ...]) -> list[tuple[str, Path]]:
    """The listed files of `data` at or below `path` with one of `suffixes`: name in the artifact and full path, sorted.

    Raises:
        InputError: there is none.
    """
    names = sorted(entry.path for entry in data.manifest.files if path in (".", entry.path) or _below(entry.path, path))
    found = [(name, data.path / name) for name in names if name.endswith(suffixes)]
    if not found:
        raise InputError(f"no {' or '.join(suffixes)} file at {path} in {data.path}; check the path of the source")
    return found


def _below(name: str, directory: str) -> bool:
    return name.startswith(f"{directory.rstrip('/')}/")
