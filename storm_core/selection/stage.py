"""`storm select`: read examples and verdicts, apply the thresholds, split, and account for every row.

M: examples.
"""

import json
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from storm_core.errors import InputError
from storm_core.examples.index import ExampleIndex, count_by_source, read_index, shard_files
from storm_core.examples.order import BATCH_ROWS, write_in_order
from storm_core.heartbeat import activity
from storm_core.records import SCHEMA, read_columns
from storm_core.selection.config import SelectConfig
from storm_core.selection.funnel import build_funnel, check_ledger, describe_drops, parse_ledger
from storm_core.selection.split import split
from storm_core.selection.thresholds import (
    KEPT,
    LOW_EDUCATIONAL_VALUE,
    NO_ANSWER,
    REASONS,
    TOO_EASY,
    drop_reasons,
)
from storm_core.selection.verdicts_by_example import read_by_example
from storm_core.stage import Inputs, Results
from storm_core.verdicts.schema import FILE_NAME
from storm_core.verdicts.settings import refuse_mixed

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Columns of every funnel, even if nothing is dropped for them; the others are there if something is.
_USUAL_REASONS = (NO_ANSWER, LOW_EDUCATIONAL_VALUE, TOO_EASY)


def run(config: SelectConfig, inputs: Inputs, outputs: Mapping[str, Path]) -> Results:
    """Write `train.parquet`, `validation.parquet` and `funnel.json`.

    Raises:
        InputError: examples and verdicts do not fit each other, or nothing is left.
    """
    examples = inputs["examples"]
    shards = shard_files(examples)
    with activity("read the examples"):
        index = read_index(shards)
    ledger = parse_ledger(examples.file("ledger.json").read_text(encoding="utf-8"))
    check_ledger(ledger, index.count())

    refuse_mixed(inputs.many("verdicts"))
    verdicts = [artifact.file(FILE_NAME) for artifact in inputs.many("verdicts")]
    with activity("read the verdicts"):
        reason_M = drop_reasons(read_by_example(index, verdicts), index, config)
    files = split(index, np.flatnonzero(reason_M == KEPT), config.validation_fraction, config.seed)
    train, validation = (count_by_source(index.sources, index.source_M[rows]) for rows in files)
    dropped = _dropped(index, reason_M)
    occurring = {*_USUAL_REASONS, *(reason for _, reason in dropped)}
    reasons = [reason for reason in REASONS if reason in occurring]
    funnel = build_funnel(ledger, dropped, train, validation, reasons)
    if not train:
        raise InputError(_nothing_left(funnel["total"], config))
    with activity("write the selection"):
        _write(outputs["selection"], shards, len(index), files)
    # Not sorted: the order of the reasons is the order of the recipe.
    (outputs["selection"] / "funnel.json").write_text(json.dumps(funnel, indent=2) + "\n", encoding="utf-8")
    return Results(metrics=_metrics(funnel["total"]))


def _dropped(index: ExampleIndex, reason_M: "NDArray[np.int8]") -> dict[tuple[str, str], int]:
    """How many examples were dropped, by source and reason."""
    counts: Counter[tuple[str, str]] = Counter()
    for number, reason in enumerate(REASONS):
        by_source = count_by_source(index.sources, index.source_M[reason_M == number])
        counts.update({(source, reason): count for source, count in by_source.items()})
    return counts


def _write(directory: Path, shards: Sequence[Path], size: int, files: Sequence["NDArray[np.int64]"]) -> None:
    """Write the examples at the positions in `files`, in that order, to `train.parquet` and `validation.parquet`."""
    file_M, place_M = np.full(size, -1, dtype=np.int64), np.full(size, -1, dtype=np.int64)
    for file, rows in enumerate(files):
        file_M[rows], place_M[rows] = file, np.arange(len(rows))
    batches = (batch for shard in shards for batch in read_columns(shard, SCHEMA.names, BATCH_ROWS))
    paths = [directory / "train.parquet", directory / "validation.parquet"]
    with tempfile.TemporaryDirectory(dir=directory, prefix=".order-") as scratch:
        write_in_order(batches, paths, file_M, place_M, Path(scratch))


def _nothing_left(total: Mapping[str, Any], config: SelectConfig) -> str:
    return (
        f"no example is left of {total['read']} read; dropped: {describe_drops(total)}; thresholds: "
        f"min_educational_value {config.min_educational_value} by {config.educational_value_by}, difficulties "
        f"{', '.join(config.difficulties) or 'none'}"
    )


def _metrics(total: Mapping[str, Any]) -> dict[str, float]:
    kept = total["train"] + total["validation"]
    metrics = {"read": total["read"], "kept": kept, "kept_fraction": kept / total["read"]}
    metrics.update({f"dropped_{reason}": count for reason, count in total["dropped"].items()})
    return {**metrics, "train": total["train"], "validation": total["validation"]}
