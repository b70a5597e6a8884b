"""What a judge must show before its verdicts are worth using, and the verdict on the judge itself."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import Any

from storm_core.yaml_documents import read_yaml

GOOD, FAIR, POOR, UNKNOWN = "good", "fair", "poor", "unknown"
TRUSTED, CARE, NO_TRUST = "can be trusted", "use with care", "do not trust"


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """From where on a number is good, and from where on poor; `checks.yaml` says what the fields mean."""

    good: float
    poor: float
    meaning: str
    reason: str


def load_thresholds() -> dict[str, Threshold]:
    """The threshold of each check, by its name, in the order of `checks.yaml`."""
    content = read_yaml(files(__package__).joinpath("checks.yaml").read_bytes(), "checks.yaml")
    return {name: Threshold(**fields) for name, fields in content.items()}


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
    threshold: Threshold
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
        "label_mass": {"estimate": total["mean_label_mass"]},
        "unanswered_share": {"estimate": total["unanswered_share"]},
        "truncated_share": {"estimate": total["truncated_share"]},
    }
    return [_check(name, rubric["name"], threshold, found[name]) for name, threshold in load_thresholds().items()]


def judge_the_judge(checks: Iterable[Check]) -> str:
    """`do not trust` where one check is poor, `can be trusted` where all are good, else `use with care`."""
    outcomes = {check.outcome for check in checks}
    if POOR in outcomes:
        return NO_TRUST
    return TRUSTED if outcomes == {GOOD} else CARE


def describe(check: Check) -> dict[str, Any]:
    """The check with its threshold, as JSON values."""
    described = asdict(check)
    threshold = described.pop("threshold")
    return {**described, **threshold}


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


def _check(name: str, rubric: str, threshold: Threshold, measured: Mapping[str, Any]) -> Check:
    estimate, interval = measured.get("estimate"), measured.get("interval")
    outcome = grade(threshold, estimate, interval)
    return Check(name=name, rubric=rubric, threshold=threshold, estimate=estimate, interval=interval, outcome=outcome)


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
