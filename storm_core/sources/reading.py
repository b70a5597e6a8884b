"""Rows of a source turned into examples, and the limit on how many of them may be malformed."""

from collections.abc import Iterator

from storm_core.artifacts import Artifact
from storm_core.errors import InputError
from storm_core.records import Example, make_example
from storm_core.sources.files.rows import Rejected, Row, TooLong, printable
from storm_core.sources.references import Source


def read_source(
    source: Source, data: Artifact, max_rejected_fraction: float, max_characters: int | None = None
) -> Iterator[Example | Rejected | TooLong]:
    """Every row of `source` as an example, or with the reason why it is none; `place` in the meta says where it stood.

    Args:
        source: what to read.
        data: what holds it; see `Source.open`.
        max_rejected_fraction: share of malformed rows that is put up with.
        max_characters: of all messages of a row together; None where there is no limit.

    Raises:
        InputError: there are no rows, or more than the fraction `max_rejected_fraction` of them is malformed. Names the
            first malformed row; where none is allowed, at once.
    """
    read = malformed = 0
    first = ""
    for row in source.rows(data):
        read += 1
        item = row if isinstance(row, Rejected) else _to_example(source.name, row, max_characters)
        if isinstance(item, Rejected):
            malformed += 1
            first = first or f"{item.place}: {item.reason}"
            if max_rejected_fraction == 0:
                break
        yield item
    if malformed > max_rejected_fraction * read:
        raise InputError(
            f"malformed row in {source.name}: {first} ({malformed} of {read} rows read; correct the data or raise "
            f"max_rejected_fraction, now {max_rejected_fraction:g})"
        )
    if not read:
        raise InputError(f"{source.name} has no rows: {source.adapter}:{source.path} in {source.uri or data.path}")


def _to_example(name: str, row: Row, max_characters: int | None) -> Example | Rejected | TooLong:
    # First of all: what comes next may take time that grows with the square of the length.
    if max_characters is not None and sum(len(message.content) for message in row.messages) > max_characters:
        return TooLong(place=row.place)
    try:
        for position, message in enumerate(row.messages):
            _check_text(position, message.content)
        return make_example(name, row.messages, {**row.meta, "place": printable(row.place)})
    except InputError as error:
        return Rejected(place=row.place, reason=str(error))


def _check_text(position: int, text: str) -> None:
    if "\0" in text:
        raise InputError(f"message {position} holds a NUL character, which is not text")
    # JSON can spell half of a surrogate pair, which no UTF-8 file can hold.
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise InputError(f"message {position} holds half a surrogate pair, which is not text") from None
