"""Tokenised examples in flat arrays, which a file on disk holds in the form that memory has them: Arrow's.

A process that maps the file holds what it reads of it, and all processes of a machine have these pages in common.
Tokens are stored once: of labels there is a bit for each, which says whether the model learns it.
"""

import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np
import pyarrow as pa

from storm_core.finetuning.tokenization import IGNORED, Dropped, TokenizedExample

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Few enough that their tokens, not yet flat, take little; many enough that a million examples are few batches.
_EXAMPLES_PER_BATCH = 256
_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("input_ids", pa.list_(pa.int32())),
        ("learned", pa.list_(pa.bool_())),
        ("answers", pa.int32()),
    ]
)
# Stands with the last batch, which has no rows: what is known once all were read.
_DROPPED = b"dropped"


class FlatExamples(Sequence[TokenizedExample]):
    """Tokenised examples; one is made of the arrays when it is asked for.

    Attributes:
        lengths: the tokens of each example.
        answers: the tokens of each that the model is to predict: those with a label, but for the first.
    """

    def __init__(self, batches: Sequence["pa.RecordBatch"]) -> None:
        """`batches` have the columns of a file of examples."""
        self._batches = batches
        self._starts = list(accumulate((len(batch) for batch in batches), initial=0))
        lengths = [batch.column("input_ids").value_lengths() for batch in batches]
        self.lengths = _joined(lengths)
        self.answers = _joined([batch.column("answers") for batch in batches])

    @classmethod
    def of(cls, examples: Iterable[TokenizedExample]) -> "FlatExamples":
        """The same examples in memory."""
        return cls(list(_to_batches(examples)))

    def __len__(self) -> int:
        return self._starts[-1]

    @overload
    def __getitem__(self, index: int) -> TokenizedExample: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[TokenizedExample]: ...
    def __getitem__(self, index: int | slice) -> TokenizedExample | Sequence[TokenizedExample]:
        if isinstance(index, slice):
            return [self[at] for at in range(len(self))[index]]
        place = range(len(self))[index]
        number = bisect_right(self._starts, place) - 1
        return _example(self._batches[number], place - self._starts[number])

    def answer_tokens(self) -> int:
        """How many tokens have a label, in all examples together."""
        return sum(batch.column("learned").values.true_count for batch in self._batches)

    def ids(self) -> list[str]:
        """The ID of each example."""
        return [id for batch in self._batches for id in batch.column("id").to_pylist()]


@dataclass(frozen=True, kw_only=True)
class TokenizedExamples:
    """What became of the examples of one file: those to train on, and how many were left out for which reason."""

    kept: FlatExamples
    dropped: Dropped


def write_flat(examples: Iterable[TokenizedExample], dropped: Dropped, file: Path) -> None:
    """Write examples as they come; `dropped` is written as it stands once all have come."""
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, _SCHEMA) as writer:
        for batch in _to_batches(examples):
            writer.write_batch(batch)
        end = pa.RecordBatch.from_pylist([], schema=_SCHEMA)
        writer.write_batch(end, custom_metadata={_DROPPED: json.dumps(vars(dropped))})


def map_flat(file: Path) -> TokenizedExamples:
    """What `write_flat` wrote, mapped into memory; the file may be removed then.

    Raises:
        ValueError: it was not written so, or not to its end.
    """
    reader = pa.ipc.open_file(pa.memory_map(str(file)))
    if reader.schema != _SCHEMA or reader.num_record_batches == 0:
        raise ValueError(f"{file} has other columns than tokenised examples")
    *batches, _ = [reader.get_batch(number) for number in range(reader.num_record_batches)]
    _, metadata = reader.get_batch_with_custom_metadata(len(batches))
    if metadata is None or _DROPPED not in metadata:
        raise ValueError(f"{file} has no end")
    said = json.loads(metadata[_DROPPED])
    dropped = Dropped(counts=Counter(said["counts"]), words=said["words"])
    return TokenizedExamples(kept=FlatExamples(batches), dropped=dropped)


def _to_batches(examples: Iterable[TokenizedExample]) -> Iterator["pa.RecordBatch"]:
    remaining = iter(examples)
    while some := list(islice(remaining, _EXAMPLES_PER_BATCH)):
        learned = [np.asarray(example.labels) != IGNORED for example in some]
        ends = pa.array(accumulate((len(one) for one in learned), initial=0), pa.int32())
        columns = [
            pa.array([example.id for example in some], pa.string()),
            pa.ListArray.from_arrays(
                ends, pa.array(np.concatenate([np.asarray(one.input_ids, np.int32) for one in some]))
            ),
            pa.ListArray.from_arrays(ends, pa.array(np.concatenate(learned))),
            pa.array([np.count_nonzero(one[1:]) for one in learned], pa.int32()),
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=_SCHEMA)


def _example(batch: "pa.RecordBatch", row: int) -> TokenizedExample:
    input_ids = batch.column("input_ids")[row].values.to_numpy()
    learned = batch.column("learned")[row].values.to_numpy(zero_copy_only=False)
    return TokenizedExample(
        id=batch.column("id")[row].as_py(), input_ids=input_ids, labels=np.where(learned, input_ids, np.int32(IGNORED))
    )


def _joined(columns: Sequence["pa.Array"]) -> "NDArray[np.int32]":
    """The numbers of all batches in a copy, so that none of them is read again."""
    return np.concatenate([np.empty(0, np.int32), *(column.to_numpy() for column in columns)])
