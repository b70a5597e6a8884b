"""What a judge must show before its verdicts are worth using, and the verdict on the judge itself."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

GOOD, FAIR, POOR, UNKNOWN = "good", "fair", "poor", "unknown"
TRUSTED, CARE, NO_TRUST = "can be trusted", "use with care", "do not trust"


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """From where on a number is good, and from where on poor; between them it is fair.

    Attributes:
        meaning: what the number is.
        reason: where the two limits come from.
    """

    good: float
    poor: float
    meaning: str
    reason: str


# The limits are ours where no source is named: what they are chosen to tell apart stands beside them.
THRESHOLDS = {
    "repeated_agreement": Threshold(
        good=0.98,
        poor=0.9,
        meaning="same label when asked the same again",
        reason="nothing changed but rounding: less is the engine's noise, and no other number can be better than that",
    ),
    "shuffled_agreement": Threshold(
        good=0.95,
        poor=0.85,
        meaning="same label with the examples in another order and in other batches",
        reason="an example's neighbours must not matter; padding moves a close call now and then",
    ),
    "paraphrase_kappa": Threshold(
        good=0.6,
        poor=0.4,
        meaning="weighted kappa of the labels, the question in other words (the worse wording)",
        reason='J. Landis and G. Koch, Biometrics 33 (1977): above 0.6 "substantial", below 0.4 "fair" at best',
    ),
    "paraphrase_spearman": Threshold(
        good=0.7,
        poor=0.5,
        meaning="rank correlation of the expected values, the question in other words (the worse wording)",
        reason="at 0.7 about half of the order's variance is shared, at 0.5 a quarter",
    ),
    "reversed_kappa": Threshold(
        good=0.6,
        poor=0.4,
        meaning="weighted kappa of the labels, the labels listed the other way round",
        reason="as for other words",
    ),
    "position_bias": Threshold(
        good=0.05,
        poor=0.15,
        meaning="size of the preference for what is listed first or last, 0 to 1",
        reason="0.05 of five labels is a fifth of a step, 0.15 more than half of one",
    ),
    "label_mass": Threshold(
        good=0.5,
        poor=0.1,
        meaning="probability of all the labels together, on average",
        reason="below a half the judge mostly wanted to say something else; below a tenth it did not understand",
    ),
    "commonest_label_share": Threshold(
        good=0.8,
        poor=0.95,
        meaning="share of the commonest label",
        reason="a judge that says the same of nearly everything sorts nothing",
    ),
    "unanswered_share": Threshold(
        good=0.01, poor=0.1, meaning="share without an answer", reason="what has no label is dropped unseen"
    ),
    "truncated_share": Threshold(
        good=0.1,
        poor=0.3,
        meaning="share of which the judge did not read the middle",
        reason="a larger max_length mends it",
    ),
    "length_correlation": Threshold(
        good=0.3,
        poor=0.5,
        meaning="size of the rank correlation of expected value and length, within the sources",
        reason="J. Cohen, Statistical Power Analysis (1988): 0.3 medium, 0.5 large; long examples may well be "
        "better or harder, but hardly so regularly",
    ),
    "probed_examples": Threshold(
        good=100,
        poor=1,
        meaning="examples asked about again",
        reason="with 100 a share is known to 10 points either way, at 95%",
    ),
    "probe_unanswered_share": Threshold(
        good=0.01,
        poor=0.1,
        meaning="share without an answer when asked again, in the way that got the fewest",
        reason="agreement is measured on what was answered alone",
    ),
}


@dataclass(frozen=True, kw_only=True)
class Check:
    """One number of one question, held against its threshold.

    Attributes:
        estimate: None where it could not be measured.
        interval: 95%, where there is one.
        outcome: `good`, `fair`, `poor` or `unknown`.
    """

    name: str
    rubric: str
    estimate: float | None
    interval: Sequence[float] | None
    outcome: str


def check_rubric(rubric: Mapping[str, Any]) -> list[Check]:
    """Every check of one question.

    Args:
        rubric: its numbers, as `contents.collect` returns them.
    """
    total, probes = rubric["total"], {probe["name"]: probe for probe in rubric["probes"]}
    paraphrases = [probe for name, probe in probes.items() if name.startswith("paraphrase")]
    found: dict[str, Mapping[str, Any]] = {
        "repeated_agreement": probes.get("repeated", {}).get("exact_agreement", {}),
        "shuffled_agreement": probes.get("shuffled", {}).get("exact_agreement", {}),
        "paraphrase_kappa": _least(probe["weighted_kappa"] for probe in paraphrases),
        "paraphrase_spearman": _least(probe["spearman"] for probe in paraphrases),
        "reversed_kappa": probes.get("reversed", {}).get("weighted_kappa", {}),
        "position_bias": _size(rubric["position_bias"] or {}),
        "length_correlation": _size({"estimate": rubric["length_correlation_within_sources"]}),
        "probed_examples": {"estimate": rubric["probed_examples"] or None},
        "probe_unanswered_share": {"estimate": max(map(_unanswered_share, rubric["probes"]), default=None)},
        "commonest_label_share": {"estimate": _commonest(total)},
    }
    for name, field in (
        ("label_mass", "mean_label_mass"),
        ("unanswered_share", "unanswered_share"),
        ("truncated_share", "truncated_share"),
    ):
        found[name] = {"estimate": total[field]}
    return [_check(name, rubric["name"], found[name]) for name in THRESHOLDS]


def judge_the_judge(checks: Iterable[Check]) -> str:
    """`do not trust` where one check is poor, `can be trusted` where all are good, else `use with care`."""
    outcomes = {check.outcome for check in checks}
    if POOR in outcomes:
        return NO_TRUST
    return TRUSTED if outcomes == {GOOD} else CARE


def describe(check: Check) -> dict[str, Any]:
    """The check with its threshold, as JSON values."""
    return {**asdict(check), **asdict(THRESHOLDS[check.name])}


def grade(threshold: Threshold, estimate: float | None, interval: Sequence[float] | None) -> str:
    """The outcome of a check; good only where the whole interval is better than poor."""
    if estimate is None:
        return UNKNOWN
    # Turned so that more is better.
    sign = 1 if threshold.good > threshold.poor else -1
    good, poor, found = sign * threshold.good, sign * threshold.poor, sign * estimate
    if found < poor:
        return POOR
    surely_not_poor = interval is None or min(sign * limit for limit in interval) >= poor
    return GOOD if found >= good and surely_not_poor else FAIR


def _check(name: str, rubric: str, measured: Mapping[str, Any]) -> Check:
    estimate, interval = measured.get("estimate"), measured.get("interval")
    outcome = grade(THRESHOLDS[name], estimate, interval)
    return Check(name=name, rubric=rubric, estimate=estimate, interval=interval, outcome=outcome)


def _least(measured: Iterable[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The lowest estimate with its interval; nothing where one is unknown, as it might be the lowest."""
    found = list(measured)
    if any(one["estimate"] is None for one in found):
        return {}
    return min(found, key=lambda one: float(one["estimate"]), default={})


def _unanswered_share(probe: Mapping[str, Any]) -> float:
    asked = probe["examples"] + probe["unanswered"]
    return float(probe["unanswered"] / asked) if asked else 0.0


def _size(measured: Mapping[str, Any]) -> dict[str, Any]:
    """Without the sign; an interval around 0 begins there."""
    estimate, interval = measured.get("estimate"), measured.get("interval")
    if estimate is None:
        return {}
    if interval is None:
        return {"estimate": abs(estimate)}
    low, high = sorted(abs(limit) for limit in interval)
    return {"estimate": abs(estimate), "interval": [0.0 if interval[0] <= 0 <= interval[1] else low, high]}


def _commonest(total: Mapping[str, Any]) -> float | None:
    answered = sum(total["labels"].values())
    return max(total["labels"].values()) / answered if answered else None
