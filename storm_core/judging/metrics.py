"""What a shard's verdicts come to: examples, and of each rubric the label counts and means."""

from pathlib import Path
from typing import Any

from storm_core.judging.wording.rubrics import label_in_name
from storm_core.verdicts.schema import DIFFICULTY, EDUCATIONAL_VALUE
from storm_core.verdicts.summary import summarise, total_of


def score_metrics(path: Path) -> dict[str, float]:
    """The numbers of the verdicts in one file, by name; means over what was answered."""
    numbers = {rubric: total_of(sources.values()).numbers() for rubric, sources in summarise([path]).items()}
    first = numbers.get(EDUCATIONAL_VALUE, {"verdicts": 0, "truncated": 0})
    found: dict[str, float] = {"examples": first["verdicts"], "truncated": first["truncated"]}
    for rubric in (EDUCATIONAL_VALUE, DIFFICULTY):
        of_rubric = _of_rubric(numbers[rubric]) if rubric in numbers else {"asked": 0}
        found.update({f"{rubric}_{name}": value for name, value in of_rubric.items()})
    return found


def _of_rubric(numbers: dict[str, Any]) -> dict[str, float]:
    labels = enumerate(numbers["labels"].items())
    found = {
        "asked": numbers["verdicts"],
        **{f"label_{label_in_name(label, place)}": count for place, (label, count) in labels},
        "unanswered": numbers["unanswered"] or None,
        "mean": numbers["mean_expected_value"],
        "label_mass_mean": numbers["mean_label_mass"],
    }
    return {name: value for name, value in found.items() if value is not None}
