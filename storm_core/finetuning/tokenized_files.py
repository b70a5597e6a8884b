"""Tokenised examples as files: made once, by one process, for all that train on them, with whatever options."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from storm_core import processes
from storm_core.code_identity import identity_of
from storm_core.finetuning.exchange import gather
from storm_core.finetuning.tokenization import TokenizedExample, TokenizedExamples
from storm_core.stage import Inputs
from storm_core.stores.partial_results import PartialResults

_SCHEMA = pa.schema([("id", pa.string()), ("input_ids", pa.list_(pa.int32())), ("labels", pa.list_(pa.int32()))])
_DROPPED = b"dropped"
_NAME = "tokens.parquet"
_WEIGHTS = ".safetensors"
# What makes and writes them, with all that these import.
_MODULES = (__name__, "storm_core.checkpoints.loading")


def tokenized_once(tokenize: Callable[[], TokenizedExamples], kept: PartialResults, scratch: Path) -> TokenizedExamples:
    """The examples that `kept` has, or else what `tokenize` makes, kept for others.

    Of several processes the main one tokenises, and the others read. Every process must ask for it.
    """
    file = scratch / _NAME
    examples = None
    if processes.is_main():
        examples = _read(file) if kept.fetch(_NAME, file) else _make(tokenize, kept, file)
    gather(None)  # It is there now.
    if examples is None:
        # What another run has removed in the meantime is made again.
        examples = _read(file) if kept.fetch(_NAME, file) else tokenize()
    file.unlink(missing_ok=True)
    return examples


def tokens_identity(inputs: Inputs, name: str, max_length: int) -> dict[str, Any]:
    """What tokenised examples that may stand for each other have in common: file, tokenizer, longest one, and code."""
    (examples,) = (entry.sha256 for entry in inputs["selection"].manifest.files if entry.path == name)
    # Which files a tokenizer is made from differs by its class; only weights are never among them.
    beside = {entry.path: entry.sha256 for entry in inputs["model"].manifest.files if _WEIGHTS not in entry.path}
    code = identity_of(*_MODULES)
    return {"tokens of": examples, "tokenizer": beside, "max_length": max_length, "made by": dict(code)}


def _make(tokenize: Callable[[], TokenizedExamples], kept: PartialResults, file: Path) -> TokenizedExamples:
    examples = tokenize()
    _write(examples, file)
    kept.keep(_NAME, file)
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
