"""Apply the written rules to the evaluations of a run's models."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from storm_core.evaluation.scores import Score
from storm_core.promotion.comparison import difference, mean_difference, mean_score
from storm_core.promotion.config import GateConfig
from storm_core.promotion.evaluations import Evaluation
from storm_core.promotion.rules import Rule, RuleBook


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """What a rule compared and how it came out.

    Attributes:
        scores: `mean`, or the name of a benchmark.
        title: the same for a reader.
        allowed: how far below zero the difference may lie; None where it must be above zero.
    """

    scores: str
    title: str
    candidate: Score
    reference: Score
    difference: Score
    allowed: float | None
    passed: bool


def decide(evaluations: Mapping[str, Evaluation], rules: RuleBook, config: GateConfig) -> dict[str, Any]:
    """The content of `decision.json`: whether all rules pass, and each rule with its reason in numbers.

    Args:
        evaluations: of every model, by role; they must be comparable.
        rules: what to apply.
        config: the numbers that the rules leave open.
    """
    judged = [_judge(rule, evaluations, config) for rule in rules.rules]
    means = {role: mean_score(evaluation) for role, evaluation in evaluations.items()}
    first = next(iter(evaluations.values()))
    return {
        "passed": all(rule["passed"] for rule in judged),
        "rules": judged,
        "means": {role: mean.value for role, mean in means.items()},
        "mean_stderrs": {role: mean.stderr for role, mean in means.items()},
        "models": {role: evaluation.model_digest for role, evaluation in evaluations.items()},
        "suite": first.suite,
        "suite_sha256": first.suite_sha256,
        "rules_sha256": rules.sha256,
        "options": dataclasses.asdict(config),
    }


def _judge(rule: Rule, evaluations: Mapping[str, Evaluation], config: GateConfig) -> dict[str, Any]:
    comparisons = compare(rule, evaluations[rule.candidate], evaluations[rule.reference], config)
    text = rule.text.format(**dataclasses.asdict(config))
    if rule.reference != "base" and evaluations[rule.reference].model_digest == evaluations["base"].model_digest:
        text += f" Here the {rule.reference} is the base model itself."
    return {
        "name": rule.name,
        "text": text,
        "passed": all(comparison.passed for comparison in comparisons),
        "reason": _reason(rule, comparisons),
        "candidate": rule.candidate,
        "reference": rule.reference,
        "comparisons": [dataclasses.asdict(comparison) for comparison in comparisons],
    }


def compare(rule: Rule, candidate: Evaluation, reference: Evaluation, config: GateConfig) -> list[Comparison]:
    """The comparisons that `rule` asks for: one of the means, or one for each benchmark."""
    if rule.scores == "mean":
        pair = (mean_score(candidate), mean_score(reference))
        return [_compare(rule, config, "mean", "Mean", pair, mean_difference(candidate, reference))]
    return [
        _compare(
            rule,
            config,
            ours.name,
            ours.title,
            (Score(value=ours.value, stderr=ours.stderr), Score(value=theirs.value, stderr=theirs.stderr)),
            difference(ours, theirs),
        )
        for ours, theirs in zip(candidate.benchmarks, reference.benchmarks, strict=True)
    ]


def _compare(
    rule: Rule, config: GateConfig, scores: str, title: str, pair: tuple[Score, Score], change: Score
) -> Comparison:
    allowed = None
    if rule.require == "not_below":
        tolerance = getattr(config, rule.tolerance) if rule.tolerance else 0.0
        # Where no standard error is known there is no noise to plead.
        allowed = config.standard_errors * (change.stderr or 0.0) + tolerance
    return Comparison(
        scores=scores,
        title=title,
        candidate=pair[0],
        reference=pair[1],
        difference=change,
        allowed=allowed,
        passed=change.value > 0 if allowed is None else change.value >= -allowed,
    )


def _reason(rule: Rule, comparisons: list[Comparison]) -> str:
    """The numbers behind the outcome: every comparison that failed, or the narrowest where none did."""
    failed = [comparison for comparison in comparisons if not comparison.passed]
    told = failed or [min(comparisons, key=lambda comparison: comparison.difference.value + (comparison.allowed or 0))]
    return "; ".join(_tell(rule, comparison, named=len(comparisons) > 1) for comparison in told)


def _tell(rule: Rule, comparison: Comparison, *, named: bool) -> str:
    prefix = f"{comparison.title}: " if named else ""
    scores = f"{rule.candidate} {_format(comparison.candidate)} vs {rule.reference} {_format(comparison.reference)}"
    change = comparison.difference
    spread = "" if change.stderr is None else f" ± {change.stderr:.3f}"
    bound = "" if comparison.allowed is None else f", at least {0.0 - comparison.allowed:+.3f} needed"
    return f"{prefix}{scores}: {change.value:+.3f}{spread}{bound}"


def _format(estimate: Score) -> str:
    return f"{estimate.value:.3f}" if estimate.stderr is None else f"{estimate.value:.3f} ± {estimate.stderr:.3f}"
