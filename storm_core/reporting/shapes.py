"""What the report needs of each JSON file that a stage wrote."""

from collections.abc import Mapping

from storm_core.json_objects import COUNT, NUMBER, RATIO, TEXT, TRUTH, Each, Maybe, Shape
from storm_core.promotion.evaluations import ROLES

_ROWS: Shape = {"read": COUNT, "dropped": Each(COUNT), "train": COUNT, "validation": COUNT}
_MATRIX: Shape = {
    "module": TEXT,
    "type": TEXT,
    "layer": Maybe(COUNT),
    "shape": [COUNT],
    "snr": RATIO,
    "unfrozen": TRUTH,
}
_LOSSES: Shape = [{"step": COUNT, "loss": NUMBER}]
_EXAMPLES: Shape = {"read": COUNT, "kept": COUNT, "dropped": Each(COUNT)}
_TENSOR: Shape = {"trained": TRUTH, "sha256_before": TEXT, "sha256_after": TEXT}
_RULE: Shape = {"name": TEXT, "text": TEXT, "passed": TRUTH, "reason": TEXT}
_VERSION: Shape = {"role": TEXT, "version": TEXT, "digest": TEXT, "source": TEXT, "aliases": [TEXT]}

SHAPES: Mapping[str, Shape] = {
    "funnel.json": {"sources": Each(_ROWS), "total": _ROWS},
    "scan.json": {"unfrozen_percent": NUMBER, "matrices": [_MATRIX]},
    "history.json": {"train": _LOSSES, "validation": _LOSSES},
    "examples.json": {"train": _EXAMPLES, "validation": _EXAMPLES},
    "freezing.json": {
        "trained": {"tensors": COUNT, "parameters": COUNT, "unchanged_by_rounding": COUNT},
        "frozen": {"tensors": COUNT, "parameters": COUNT},
        "tensors": Each(_TENSOR),
    },
    "decision.json": {
        "suite": TEXT,
        "rules": [_RULE],
        "rules_sha256": TEXT,
        "passed": TRUTH,
        "means": dict.fromkeys(ROLES, NUMBER),
        "mean_stderrs": dict.fromkeys(ROLES, Maybe(NUMBER)),
    },
    "registration.json": {"registered_model_name": TEXT, "versions": [_VERSION]},
    "results.json": {"benchmarks": [{"name": TEXT, "title": TEXT, "metric": TEXT, "samples": COUNT, "value": NUMBER}]},
}
