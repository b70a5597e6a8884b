"""The judge's verdicts in numbers: by rubric and source, how they are spread and how sure the judge was."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from storm_core.curation.verdicts import read_verdict_columns
from storm_core.errors import InputError

_COLUMNS = [
    "source",
    "rubric",
    "rubric_hash",
    "judge_digest",
    "labels",
    "probabilities",
    "label",
    "expected_value",
    "label_mass",
    "truncated",
]
_ROWS_PER_BATCH = 100_000
_BINS_PER_VALUE = 4


def summarise_verdicts(paths: Iterable[Path]) -> dict[str, Any]:
    """Statistics of all verdicts in the Parquet files.

    Returns:
        `judge_digests`, and `rubrics`: by name the `labels`, the `hashes` of the rubric, the `histogram_edges` of the
        expected value, and for each of the `sources` and for the `total`: `verdicts`, the count of each of the
        `labels`, `expected_value_histogram`, `mean_expected_value`, `mean_label_mass`, `mean_entropy` (0 certain, 1 a
        guess) and `truncated`.

    Raises:
        InputError: a file does not hold verdicts, or the verdicts of one rubric have different labels.
    """
    groups: dict[str, dict[str, list[pa.Table]]] = {}
    judges: set[str] = set()
    for path in paths:
        for batch in read_verdict_columns(path, _COLUMNS, _ROWS_PER_BATCH):
            table = pa.Table.from_batches([batch])
            judges.update(table["judge_digest"].unique().to_pylist())
            for rubric in table["rubric"].unique().to_pylist():
                of_rubric = table.filter(pa.compute.equal(table["rubric"], rubric))
                for source in of_rubric["source"].unique().to_pylist():
                    rows = of_rubric.filter(pa.compute.equal(of_rubric["source"], source))
                    groups.setdefault(rubric, {}).setdefault(source, []).append(rows)
    return {
        "judge_digests": sorted(judges),
        "rubrics": {rubric: _summarise_rubric(rubric, sources) for rubric, sources in groups.items()},
    }


def _summarise_rubric(rubric: str, sources: dict[str, list[pa.Table]]) -> dict[str, Any]:
    tables = {source: pa.concat_tables(parts) for source, parts in sorted(sources.items())}
    everything = pa.concat_tables(tables.values())
    labels = _labels(rubric, everything)
    edges = _edges(everything["expected_value"].to_numpy(), len(labels))
    return {
        "labels": labels,
        "hashes": sorted(everything["rubric_hash"].unique().to_pylist()),
        "histogram_edges": edges,
        "sources": {source: _summarise(table, labels, edges) for source, table in tables.items()},
        "total": _summarise(everything, labels, edges),
    }


def _labels(rubric: str, table: pa.Table) -> list[str]:
    """The labels of the rubric, which all its verdicts share."""
    first: list[str] = table["labels"][0].as_py()
    lengths = pa.compute.list_value_length(table["labels"])
    flat = table["labels"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    same_length = pa.compute.all(pa.compute.equal(lengths, len(first))).as_py()
    if not same_length or not (flat.reshape(-1, len(first)) == np.array(first, dtype=object)).all():
        raise InputError(f"verdicts of {rubric} have different labels; give those of one scoring, made with one rubric")
    return first


def _edges(expected_values: np.ndarray, labels: int) -> list[float]:
    """Edges of the histogram: from 1 to the number of labels, wider where a rubric's values lie outside of that."""
    low = min(1, math.floor(round(float(expected_values.min()), 6)))
    high = max(labels, 2, math.ceil(round(float(expected_values.max()), 6)))
    return [float(edge) for edge in np.linspace(low, high, (high - low) * _BINS_PER_VALUE + 1)]


def _summarise(table: pa.Table, labels: list[str], edges: list[float]) -> dict[str, Any]:
    values = table["expected_value"].to_numpy()
    given = table["label"].to_numpy()
    probabilities = table["probabilities"].combine_chunks().flatten().to_numpy().reshape(-1, len(labels))
    # Rounding may put a value a hair outside of its range.
    histogram, _ = np.histogram(np.clip(values, edges[0], edges[-1]), bins=edges)
    return {
        "verdicts": table.num_rows,
        "labels": {label: int((given == label).sum()) for label in labels},
        "expected_value_histogram": [int(count) for count in histogram],
        "mean_expected_value": float(values.mean()),
        "mean_label_mass": float(table["label_mass"].to_numpy().mean()),
        "mean_entropy": float(relative_entropy(probabilities).mean()),
        "truncated": int(pa.compute.sum(table["truncated"]).as_py()),
    }


def relative_entropy(probabilities_NK: np.ndarray) -> np.ndarray:
    """Entropy of each row's K probabilities over log K: 0 where one is certain, 1 where all are equal; shape (N,)."""
    count = probabilities_NK.shape[1]
    logarithms = np.log(probabilities_NK, where=probabilities_NK > 0, out=np.zeros_like(probabilities_NK))
    entropy: np.ndarray = -(probabilities_NK * logarithms).sum(axis=1)
    return entropy / math.log(count) if count > 1 else entropy
