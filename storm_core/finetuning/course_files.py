"""The course of a training as files: `history.json`, and in `updates.parquet` the examples of every update."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from storm_core.finetuning.course import Course
from storm_core.finetuning.tokenization import TokenizedExample

UPDATES = "updates.parquet"
_SCHEMA = pa.schema([("step", pa.int32()), ("examples", pa.list_(pa.string()))])


def write_course(course: Course, examples: Sequence[TokenizedExample], directory: Path) -> None:
    """Write both files; an update's examples are in the order of the selection, whatever that of the processes."""
    history: dict[str, Any] = {"train": course.train, "validation": course.validation, "processes": course.shared_by}
    if course.held_out:
        history["held_out"] = course.held_out
    text = json.dumps(history, indent=2, sort_keys=True) + "\n"
    (directory / "history.json").write_text(text, encoding="utf-8")
    ids = [[examples[number].id for number in update] for update in course.examples]
    table = pa.table({"step": range(1, len(ids) + 1), "examples": ids}, schema=_SCHEMA)
    pq.write_table(table, directory / UPDATES)
