"""Conversations that a person has, as a list or a file, made into examples as `prepare` makes them."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from storm_core.artifacts import Artifact, open_directory, seal
from storm_core.errors import InputError
from storm_core.library.running import Reference, reference_to
from storm_core.records import Example, write_examples
from storm_core.sources.files.rows import Rejected
from storm_core.sources.formats.chat_messages import COLUMNS
from storm_core.sources.reading import read_source
from storm_core.sources.references import Source
from storm_core.stores.references import open_reference

SHARD = "shard-00000.parquet"
# The source that examples of a list have.
_LISTED = "examples"
# Its messages, each {"role": ..., "content": ...}; or a row that has them, in any shape that `prepare` reads.
Conversation = Mapping[str, object] | Sequence[Mapping[str, object]]
Conversations = Reference | Iterable[Conversation]


def open_examples(given: Conversations, directory: Path) -> str:
    """A reference to the examples that are given; those that `prepare` did not make are written into `directory`.

    Raises:
        InputError: there are none, one is no conversation, or a file cannot be read. Says which and why.
    """
    if isinstance(given, str | os.PathLike):
        reference = reference_to(given)
        artifact = open_reference(reference)
        if any(Path(entry.path).match("shard-*.parquet") for entry in artifact.manifest.files):
            return reference
        return _write(_examples(artifact, Path(reference).stem, listed=False), directory)
    file = directory / "examples.jsonl"
    with file.open("w", encoding="utf-8") as stream:
        stream.writelines(f"{_line(place, item)}\n" for place, item in enumerate(_listed(given)))
    if not file.stat().st_size:
        raise InputError("examples is empty; give at least one conversation")
    return _write(_examples(open_directory(file), _LISTED, listed=True), directory)


def _listed(given: Iterable[Conversation]) -> Iterable[Conversation]:
    if isinstance(given, Mapping):
        raise InputError("examples is one mapping; give a list of conversations")
    return given


def _line(place: int, item: object) -> str:
    """One conversation as a line of JSON, with the columns that `prepare` reads."""
    row = item if isinstance(item, Mapping) else {"messages": item}
    try:
        return json.dumps({name: row[name] for name in COLUMNS if name in row})
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"examples[{place}] is not a conversation of texts: {error}") from error


def _examples(data: Artifact, name: str, *, listed: bool) -> Iterator[Example]:
    # Nothing is learned from them: all splits of a data set are wanted.
    source = Source(name=name, adapter="messages", path=".", is_evaluation=True)
    # No row may be malformed; refused here, as the source's own message speaks of an option that `score` has not.
    for place, item in enumerate(read_source(source, data, max_rejected_fraction=1.0)):
        if isinstance(item, Example):
            yield item
            continue
        where = f"examples[{place}]" if listed else item.place
        why = item.reason if isinstance(item, Rejected) else "too long"
        raise InputError(f"{where}: {why}; a conversation is a list of {{role, content}}, or has one as messages")


def _write(examples: Iterator[Example], directory: Path) -> str:
    written = directory / "examples"
    written.mkdir()
    write_examples(written / SHARD, examples)
    seal(written, "examples", producer={}, inputs={}, metrics={})
    return str(written)
