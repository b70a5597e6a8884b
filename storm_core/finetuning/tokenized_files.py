"""Tokenised examples as files: made once, by one process, for all that train on them and for the next attempt."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from storm_core import processes
from storm_core.finetuning.exchange import gather
from storm_core.finetuning.tokenization import TokenizedExample, TokenizedExamples
from storm_core.stores.partial_results import PartialResults

_SCHEMA = pa.schema([("id", pa.string()), ("input_ids", pa.list_(pa.int32())), ("labels", pa.list_(pa.int32()))])
_DROPPED = b"dropped"


def tokenized_once(
    name: str, tokenize: Callable[[], TokenizedExamples], kept: PartialResults, scratch: Path
) -> TokenizedExamples:
    """The examples under `name`: those that `kept` has, or else what `tokenize` makes, kept for others.

    Of several processes the main one tokenises, and the others read. Every process must ask for it.
    """
    file = scratch / name
    examples = None
    if processes.is_main():
        examples = _read(file) if kept.fetch(name, file) else _make(tokenize, name, kept, file)
    gather(None)  # It is there now.
    if examples is None:
        # What another run has removed in the meantime is made again.
        examples = _read(file) if kept.fetch(name, file) else tokenize()
    file.unlink(missing_ok=True)
    return examples


def _make(tokenize: Callable[[], TokenizedExamples], name: str, kept: PartialResults, file: Path) -> TokenizedExamples:
    examples = tokenize()
    _write(examples, file)
    kept.keep(name, file)
    return examples


def _write(examples: TokenizedExamples, file: Path) -> None:
    columns = {
        "id": [example.id for example in examples.kept],
        "input_ids": [example.input_ids for example in examples.kept],
        "labels": [example.labels for example in examples.kept],
    }
    schema = _SCHEMA.with_metadata({_DROPPED: json.dumps(examples.dropped)})
    pq.write_table(pa.table(columns, schema=schema), file)


def _read(file: Path) -> TokenizedExamples:
    table = pq.read_table(file)
    kept = [
        TokenizedExample(id=id, input_ids=input_ids, labels=labels)
        for id, input_ids, labels in zip(*(table.column(name).to_pylist() for name in _SCHEMA.names), strict=True)
    ]
    return TokenizedExamples(kept=kept, dropped=Counter(json.loads(table.schema.metadata[_DROPPED])))
