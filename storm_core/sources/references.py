"""The spelling of a source: `NAME=ADAPTER:PATH`, or `ADAPTER:PATH` for evaluation data, and the rows it leads to.

PATH is relative to the data directory, or the URI of an artifact or a hub's data set; `#` and a selection may follow.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath

from storm_core.artifacts import Artifact
from storm_core.errors import InputError
from storm_core.sources.files.rows import Rejected, Row
from storm_core.sources.formats import bfcl, chat_messages, chatterbot, lm_eval_tasks
from storm_core.stores.layout import is_named_by_digest
from storm_core.stores.locations import HubLocation
from storm_core.stores.references import open_reference
from storm_core.stores.uris import parse_uri

Adapter = Callable[[Artifact, str], Iterator[Row | Rejected]]
# `messages` goes by the columns of each row; the next four insist on one shape.
_SHAPES = {"messages": None, **{shape: shape for shape in chat_messages.SHAPES}}
ADAPTERS: Mapping[str, Adapter] = {
    **{name: partial(chat_messages.read, shape=shape) for name, shape in _SHAPES.items()},
    "chatterbot": chatterbot.read,
    "bfcl": bfcl.read,
}
EVALUATION_ADAPTERS: Mapping[str, Adapter] = {
    **ADAPTERS,
    **{name: partial(chat_messages.read, shape=shape, learned=False) for name, shape in _SHAPES.items()},
    "lm_eval": lm_eval_tasks.read,
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, kw_only=True)
class Source:
    """Data to read: the name it goes by in reports, the adapter that reads it, and where it lies.

    Attributes:
        uri: the artifact or hub data set that holds it; None where that is the data directory.
        path: where in there; `.` is all of it, and what follows a `#` is the adapter's.
        is_evaluation: whether it is to measure with, and not to learn from.
    """

    name: str
    adapter: str
    path: str
    uri: str | None = None
    is_evaluation: bool = False

    def open(self, data: Artifact) -> Artifact:
        """What holds the source: `data`, or what its own URI leads to.

        Raises:
            InputError: the URI cannot be opened.
        """
        return open_reference(self.uri) if self.uri else data

    def rows(self, data: Artifact) -> Iterator[Row | Rejected]:
        """Every row of the source, good or malformed, in the order of the data that `open` gave.

        Raises:
            InputError: there is no such data, or a file of it cannot be read at all.
        """
        adapters = EVALUATION_ADAPTERS if self.is_evaluation else ADAPTERS
        return adapters[self.adapter](data, self.path)


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
        sources[name] = parse_reference(name, reference, ADAPTERS)
    return list(sources.values())


def parse_reference(name: str, text: str, adapters: Mapping[str, Adapter] = EVALUATION_ADAPTERS) -> Source:
    """The source called `name` that `ADAPTER:PATH` spells, ADAPTER one of `adapters`.

    Raises:
        InputError: an unknown adapter, a path that is not plain and relative, or a URI that no store or hub has.
    """
    adapter, colon, path = text.partition(":")
    if not colon or adapter not in adapters:
        raise InputError(f"{text!r} must be ADAPTER:PATH, ADAPTER one of {', '.join(adapters)}")
    place, hash_mark, selection = path.partition("#")
    if "://" in place:
        _check_fixed(text, place)
        return Source(name=name, adapter=adapter, path=f".{hash_mark}{_contained(text, selection)}", uri=place)
    # A `#` ends the directory of a bfcl path, so `..#category` would climb too.
    if not place or place.startswith("/"):
        raise InputError(f"{text!r}: the path must be relative to the data directory, without '..' or a backslash")
    _contained(text, path)
    return Source(name=name, adapter=adapter, path=PurePosixPath(path).as_posix())


def _check_fixed(text: str, uri: str) -> None:
    """Refuse a URI whose content may change: a run with the same options must read the same rows."""
    location = parse_uri(uri)
    if isinstance(location, HubLocation) and not re.fullmatch("[0-9a-f]{40}", location.revision or ""):
        raise InputError(f"{text!r}: name a commit of the data set, as in hf://datasets/ORG/NAME@COMMIT (40 digits)")
    if not isinstance(location, HubLocation) and not is_named_by_digest(location):
        raise InputError(
            f"{text!r}: a URI must end in the digest of an artifact; put plain files in the data directory"
        )


def _contained(text: str, path: str) -> str:
    if ".." in re.split("[/#]", path) or "\\" in path or "\0" in path:
        raise InputError(f"{text!r}: the path must be relative to the data directory, without '..' or a backslash")
    return path
