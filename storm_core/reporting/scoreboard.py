"""Who scored what: the table of models by benchmarks."""

from collections.abc import Mapping
from typing import Any

from storm_core.promotion.evaluations import ROLES

MEAN = "mean"


def shown_roles(evaluations: Mapping[str, Any]) -> dict[str, str]:
    """The models to show, by role, and how they are called: a sibling that is the base model itself is shown once."""
    if sibling_is_base(evaluations):
        return {role: "base = sibling" if role == "base" else role for role in ROLES if role != "sibling"}
    return {role: role for role in ROLES}


def sibling_is_base(evaluations: Mapping[str, Any]) -> bool:
    """Whether the second parent of the merge is the base model itself, by digest."""
    return bool(evaluations["sibling"]["model_digest"] == evaluations["base"]["model_digest"])


def score_rows(evaluations: Mapping[str, Any], decision: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row a benchmark and one for the mean: title, metric, questions, score of each role, and the best roles."""
    rows = []
    for place, benchmark in enumerate(evaluations["base"]["benchmarks"]):
        scores = {role: evaluations[role]["benchmarks"][place] for role in ROLES}
        rows.append(
            _row(
                benchmark["name"],
                benchmark["title"],
                benchmark["metric"],
                benchmark["samples"],
                {role: {"value": score["value"], "stderr": score["stderr"]} for role, score in scores.items()},
            )
        )
    means = {role: {"value": decision["means"][role], "stderr": decision["mean_stderrs"][role]} for role in ROLES}
    return [*rows, _row(MEAN, "Mean", "", sum(row["samples"] for row in rows), means)]


def _row(name: str, title: str, metric: str, samples: int, scores: dict[str, dict[str, Any]]) -> dict[str, Any]:
    best = max(score["value"] for score in scores.values())
    winners = [role for role, score in scores.items() if score["value"] == best]
    return {"name": name, "title": title, "metric": metric, "samples": samples, "scores": scores, "best": winners}
