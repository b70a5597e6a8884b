"""Which examples stay: pure functions of the verdicts and the thresholds.

M: examples. S: sources.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from storm_core.errors import InputError
from storm_core.examples.index import ExampleIndex
from storm_core.selection.config import SelectConfig
from storm_core.selection.verdicts_by_example import UNANSWERED, UNASKED, RubricVerdicts, VerdictsByExample

if TYPE_CHECKING:
    from numpy.typing import NDArray

NO_ANSWER = "no_answer"
LOW_EDUCATIONAL_VALUE = "low_educational_value"
TOO_EASY = "too_easy"
TOO_HARD = "too_hard"
OTHER_DIFFICULTY = "other_difficulty"
OVER_SOURCE_CAP = "over_source_cap"
# In the order in which they apply.
REASONS = (NO_ANSWER, LOW_EDUCATIONAL_VALUE, TOO_EASY, TOO_HARD, OTHER_DIFFICULTY, OVER_SOURCE_CAP)
KEPT = -1
_NO_CAP = np.iinfo(np.int64).max


def drop_reasons(verdicts: VerdictsByExample, index: ExampleIndex, config: SelectConfig) -> "NDArray[np.int8]":
    """For every example the position in `REASONS` of why it is dropped, (M,); `KEPT` where it stays.

    Raises:
        InputError: an example passes on educational value, but the judge was not asked for its difficulty; or a wanted
            difficulty is not among the rubric's labels; or see `source_caps`.
    """
    value, difficulty = verdicts.educational_value, verdicts.difficulty
    reason_M = np.full(len(index), KEPT, dtype=np.int8)
    _drop(reason_M, value.label_M == UNANSWERED, NO_ANSWER)
    number_M = value.numbers() if config.educational_value_by == "label" else value.expected_M
    _drop(reason_M, number_M < config.min_educational_value, LOW_EDUCATIONAL_VALUE)
    _refuse_unasked(index, np.flatnonzero((reason_M == KEPT) & (difficulty.label_M == UNASKED)), config)
    _drop(reason_M, difficulty.label_M == UNANSWERED, NO_ANSWER)
    for label, reason in _unwanted(difficulty, config.difficulties).items():
        _drop(reason_M, difficulty.label_M == label, reason)
    caps_S = source_caps(config, index.sources)
    rank_M = _rank_in_source(index, value.expected_M, reason_M == KEPT)
    _drop(reason_M, rank_M >= caps_S[index.source_M], OVER_SOURCE_CAP)
    return reason_M


def source_caps(config: SelectConfig, sources: Sequence[str]) -> "NDArray[np.int64]":
    """How many examples each source may keep, (S,).

    Raises:
        InputError: a cap is not NAME=EXAMPLES, of a source that is none, or given twice.
    """
    caps = dict.fromkeys(sources, config.max_per_source or _NO_CAP)
    named = set()
    for text in config.source_caps:
        name, _, count = text.rpartition("=")
        if not name or not (count.isascii() and count.isdigit()) or not 0 < int(count) < _NO_CAP:
            raise InputError(f"source_caps must be NAME=EXAMPLES with one example at least, got {text!r}")
        if name not in caps:
            raise InputError(f"source_caps names {name!r}, which is not among the sources: {', '.join(sources)}")
        if name in named:
            raise InputError(f"source_caps names {name!r} twice")
        named.add(name)
        caps[name] = int(count)
    return np.array([caps[name] for name in sources], dtype=np.int64)


def _drop(reason_M: "NDArray[np.int8]", where_M: "NDArray[np.bool_]", reason: str) -> None:
    """Note the reason where it applies and no earlier one does."""
    reason_M[where_M & (reason_M == KEPT)] = REASONS.index(reason)


def _refuse_unasked(index: ExampleIndex, unasked: "NDArray[np.int64]", config: SelectConfig) -> None:
    if len(unasked):
        raise InputError(
            f"{len(unasked)} examples with educational value >= {config.min_educational_value} by "
            f"{config.educational_value_by} have no difficulty verdict; score again with a lower min_educational_value "
            f"(the rubric's lowest value asks about all; one is {index.id(int(unasked[0]))})"
        )


def _unwanted(difficulty: RubricVerdicts, wanted: tuple[str, ...]) -> dict[int, str]:
    """The reason to drop each label that is not wanted, by its position."""
    labels = difficulty.labels
    if not labels:
        return {}
    unknown = [name for name in wanted if name not in labels]
    if unknown or not wanted:
        raise InputError(
            f"difficulties must be among the labels of the verdicts, {', '.join(labels)}; got "
            f"{', '.join(unknown) or 'none'}"
        )
    values = [difficulty.values[labels.index(name)] for name in wanted]
    return {
        place: TOO_EASY if value < min(values) else TOO_HARD if value > max(values) else OTHER_DIFFICULTY
        for place, (label, value) in enumerate(zip(labels, difficulty.values, strict=True))
        if label not in wanted
    }


def _rank_in_source(
    index: ExampleIndex, expected_M: "NDArray[np.float64]", stays_M: "NDArray[np.bool_]"
) -> "NDArray[np.int64]":
    """Of every example that stays its place in its source, the highest expected value first, ties by content ID."""
    rank_M = np.zeros(len(index), dtype=np.int64)
    for number in range(len(index.sources)):
        by_id = index.order_M[(stays_M & (index.source_M == number))[index.order_M]]
        rank_M[by_id[np.argsort(-expected_M[by_id], kind="stable")]] = np.arange(len(by_id))
    return rank_M
