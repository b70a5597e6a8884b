"""What the registry is told of a model: tags, metrics and a description, from its scores and the gate's decision."""

from collections.abc import Mapping
from typing import Any

from storm_core.promotion.comparison import mean_score
from storm_core.promotion.evaluations import Evaluation
from storm_core.registry.model_versions import ModelEntry


def model_entry(
    role: str,
    *,
    digest: str,
    source: str,
    evaluation: Evaluation,
    decision: Mapping[str, Any],
    tags: Mapping[str, str],
) -> ModelEntry:
    """The registry entry of one model; `tags` are added to those that name its role, suite, gate and scores."""
    gate = "passed" if decision["passed"] else "failed"
    metrics = _metrics(evaluation)
    return ModelEntry(
        role=role,
        digest=digest,
        source=source,
        tags={
            "storm.role": role,
            "storm.gate": gate,
            "storm.suite": evaluation.suite,
            "storm.suite_sha256": evaluation.suite_sha256,
            **{f"storm.benchmark.{name}": f"{value:.6g}" for name, value in metrics.items()},
            **tags,
        },
        metrics=metrics,
        description=_description(role, digest, evaluation, decision),
    )


def _metrics(evaluation: Evaluation) -> dict[str, float]:
    """Each benchmark's value under its name, its standard error under `<name>_stderr`, and the mean of all."""
    mean = mean_score(evaluation)
    scores = {score.name: (score.value, score.stderr) for score in evaluation.benchmarks}
    metrics = {}
    for name, (value, stderr) in {**scores, "mean": (mean.value, mean.stderr)}.items():
        metrics[name] = value
        if stderr is not None:
            metrics[f"{name}_stderr"] = stderr
    return metrics


def _description(role: str, digest: str, evaluation: Evaluation, decision: Mapping[str, Any]) -> str:
    """Markdown for the version's page: the scores and what the gate said."""
    gate = "passed" if decision["passed"] else "did not pass"
    mean = mean_score(evaluation)
    rows = [(score.title, score.value, score.stderr, str(score.samples)) for score in evaluation.benchmarks]
    lines = [
        f"The {role} model of the Storm recipe, digest `{digest}`. The gate {gate}.",
        "",
        "| benchmark | score | standard error | questions |",
        "|---|---|---|---|",
        *(_row(*row) for row in [*rows, ("mean", mean.value, mean.stderr, "")]),
        "",
        f"Suite `{evaluation.suite}`. The gate's rules:",
        "",
        *(f"- {_outcome(rule)} {rule['name']}: {rule['reason']}" for rule in decision["rules"]),
    ]
    return "\n".join(lines)


def _row(title: str, value: float, stderr: float | None, samples: str) -> str:
    spread = "" if stderr is None else f"{stderr:.3f}"
    return f"| {title.replace('|', '/')} | {value:.3f} | {spread} | {samples} |"


def _outcome(rule: Mapping[str, Any]) -> str:
    return "passed" if rule["passed"] else "FAILED"
