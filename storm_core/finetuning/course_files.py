"""The course of a training as files: `history.json`, and in `updates.parquet` who took which examples when."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from storm_core.finetuning.course import Course
from storm_core.finetuning.data_order import Batch
from storm_core.finetuning.flat_examples import FlatExamples

UPDATES = "updates.parquet"
_SCHEMA = pa.schema(
    [("step", pa.int32()), ("batch", pa.int32()), ("process", pa.int32()), ("examples", pa.list_(pa.string()))]
)


def write_course(course: Course, plan: Sequence[Sequence[Batch]], examples: FlatExamples, directory: Path) -> None:
    """Write both files; `updates.parquet` has a row for each batch of `plan` that was taken, in that order."""
    history: dict[str, Any] = {"train": course.train, "validation": course.validation, "processes": course.shared_by}
    if course.held_out:
        history["held_out"] = course.held_out
    text = json.dumps(history, indent=2, sort_keys=True) + "\n"
    (directory / "history.json").write_text(text, encoding="utf-8")
    rows = list(_rows(course, plan, examples.ids()))
    pq.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), directory / UPDATES)


def _rows(course: Course, plan: Sequence[Sequence[Batch]], ids: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The step, the batch's number in it from 0, the number (rank) of the process that took it, and its examples."""
    changes = {entry["from_step"]: entry["processes"] for entry in course.shared_by}
    processes = 1
    for step, batches in enumerate(plan[: course.done], start=1):
        processes = changes.get(step, processes)
        for number, batch in enumerate(batches):
            taken = [ids[example] for example in batch]
            yield {"step": step, "batch": number, "process": number % processes, "examples": taken}
