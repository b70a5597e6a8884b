"""What a source adapter yields for each row of its data, and the files it may read."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from storm_core.artifacts import Artifact
from storm_core.errors import InputError
from storm_core.progress import report
from storm_core.records import Message

# Key in the meta of a sound row that is no good to learn from: the reason. As evaluation data it still counts.
UNFIT = "unfit"
# Keys in the meta of an evaluation item: lists of questions and of texts that it has besides its messages.
QUESTIONS = "questions"
TEXTS = "texts"
# One row as it lies in a file. JSON spends at most six bytes on a character, so that a row within this bound still
# holds far more text than any judge or model is given; without a bound one broken line would fill the memory.
MAX_ROW_BYTES = 16 << 20
# What lies beside data without being any.
_NOT_DATA = (".md", "LICENSE", ".py")
_MOST_NAMED = 5
# A reason may quote what is wrong, which may be all of the row.
_MOST_REASON_CHARACTERS = 300


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
class RawRow:
    """One row before anybody has looked for a conversation in it: its values by column."""

    place: str
    values: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """A malformed row: where it stands and what is wrong with it; a long reason is cut."""

    place: str
    reason: str

    def __post_init__(self) -> None:
        if len(self.reason) > _MOST_REASON_CHARACTERS:
            object.__setattr__(self, "reason", f"{self.reason[:_MOST_REASON_CHARACTERS]}...")


@dataclass(frozen=True, kw_only=True)
class TooLong:
    """A row of more text than is wanted, which is nothing wrong with it: where it stands."""

    place: str


def too_large(place: str) -> Rejected:
    """The row at `place`, which has more than `MAX_ROW_BYTES`."""
    return Rejected(place=place, reason=f"the row has more than {MAX_ROW_BYTES >> 20} MiB")


def printable(text: str) -> str:
    """The text with what no UTF-8 file can hold spelt out: half a surrogate pair, bytes of another encoding."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def files_under(data: Artifact, path: str, suffixes: tuple[str, ...]) -> list[tuple[str, Path]]:
    """The listed files of `data` at or below `path` with one of `suffixes`: name in the artifact and full path, sorted.

    Others, which may well hold rows in another format, are reported by name.

    `path` may end in `#SPLIT`, which takes only files named after that split as hubs name them:
    `data/train-00000.parquet`, `train/0.arrow` or `train.jsonl`, but not `training.jsonl`.

    Raises:
        InputError: there is none.
    """
    place, _, split = path.partition("#")
    names = sorted(
        entry.path for entry in data.manifest.files if place in (".", entry.path) or _below(entry.path, place)
    )
    found = [(name, data.path / name) for name in names if name.endswith(suffixes) and is_of_split(name, place, split)]
    if not found:
        of_split = f" of the split {split}" if split else ""
        wanted = f"{', '.join(suffixes[:-1])} or {suffixes[-1]}" if len(suffixes) > 1 else suffixes[0]
        others = f"there are {', '.join(names[:_MOST_NAMED])}" if names else "check the path of the source"
        raise InputError(f"no {wanted} file{of_split} at {place} in {data.path}; {others}")
    _report_others([name for name in names if not name.endswith((*suffixes, *_NOT_DATA))], place, suffixes)
    return found


def _report_others(names: list[str], place: str, suffixes: tuple[str, ...]) -> None:
    if names:
        some = ", ".join(names[:_MOST_NAMED]) + (", ..." if len(names) > _MOST_NAMED else "")
        report(f"{place}: {len(names)} files are not read ({some}), as they do not end in {', '.join(suffixes)}")


def _below(name: str, directory: str) -> bool:
    return name.startswith(f"{directory.rstrip('/')}/")


def is_of_split(name: str, place: str, split: str) -> bool:
    """Whether a part of the path `name` below `place` is the split's name, alone or before a `-`, `_` or `.`."""
    below = PurePosixPath(name).parts[len(PurePosixPath(place).parts) :] or (PurePosixPath(name).name,)
    return not split or any(re.match(rf"{re.escape(split)}(?![A-Za-z0-9])", part) for part in below)
