"""The spelling of a source: `NAME=ADAPTER:PATH`, or `ADAPTER:PATH` for evaluation data, and the rows it leads to."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from storm_core.artifacts import Artifact
from storm_core.errors import InputError
from storm_core.sources import bfcl, chat_messages, chatterbot
from storm_core.sources.rows import Rejected, Row

ADAPTERS = {"messages": chat_messages.read, "chatterbot": chatterbot.read, "bfcl": bfcl.read}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, kw_only=True)
class Source:
    """Data to read: the name it goes by in reports, the adapter that reads it, its path in the data directory."""

    name: str
    adapter: str
    path: str

    def rows(self, data: Artifact) -> Iterator[Row | Rejected]:
        """Every row of the source, good or malformed, in the order of the data.

        Raises:
            InputError: there is no such data, or a file of it cannot be read at all.
        """
        return ADAPTERS[self.adapter](data, self.path)


def parse_sources(texts: tuple[str, ...]) -> list[Source]:
    """The sources that `NAME=ADAPTER:PATH` entries spell.

    Raises:
        InputError: none are given, or one is misspelt, repeats a name, or leads outside the data directory.
    """
    if not texts:
        raise InputError('sources is empty; give at least one NAME=ADAPTER:PATH, as in ["chat=messages:chat.jsonl"]')
    sources: dict[str, Source] = {}
    for text in texts:
        name, equals, reference = text.partition("=")
        if not equals or not _NAME.fullmatch(name):
            raise InputError(f"source {text!r} must be NAME=ADAPTER:PATH, NAME of letters, digits, '.', '_' and '-'")
        if name in sources:
            raise InputError(f"two sources are named {name!r}; give each a name of its own")
        sources[name] = parse_reference(name, reference)
    return list(sources.values())


def parse_reference(name: str, text: str) -> Source:
    """The source called `name` that `ADAPTER:PATH` spells.

    Raises:
        InputError: an unknown adapter, or a path that is not plain and relative.
    """
    adapter, colon, path = text.partition(":")
    if not colon or adapter not in ADAPTERS:
        raise InputError(f"{text!r} must be ADAPTER:PATH, ADAPTER one of {', '.join(ADAPTERS)}")
    # A `#` ends the directory of a bfcl path, so `..#category` would climb too.
    climbs = ".." in re.split("[/#]", path)
    if not path or path.startswith("/") or climbs or "\\" in path or "\0" in path:
        raise InputError(f"{text!r}: the path must be relative to the data directory, without '..' or a backslash")
    return Source(name=name, adapter=adapter, path=PurePosixPath(path).as_posix())
