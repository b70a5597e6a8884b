"""From the logarithms of label probabilities, as engines report them, to an answer."""

import math
from collections.abc import Sequence

from storm_core.judging.engines.interface import Answer


def make_answer(log_probabilities: Sequence[float | None], unseen_mass: float = 0.0) -> Answer:
    """The answer for labels with these natural logarithms of their probability among the whole vocabulary.

    NaN in, NaN out: whoever asked says what the judge was given.

    Args:
        log_probabilities: of each label, in the rubric's order; None where the engine did not report it.
        unseen_mass: how much the labels that were not reported can have together, at most.
    """
    if any(value is not None and math.isnan(value) for value in log_probabilities):
        return Answer(probabilities=(math.nan,) * len(log_probabilities), label_mass=math.nan)
    seen = [value for value in log_probabilities if value is not None and value > -math.inf]
    if not seen:
        return Answer(probabilities=(0.0,) * len(log_probabilities), label_mass=0.0, unseen_mass=unseen_mass)
    # Relative to the largest, so that labels of tiny mass still compare.
    largest = max(seen)
    weights = [0.0 if value is None else math.exp(value - largest) for value in log_probabilities]
    total = math.fsum(weights)
    return Answer(
        probabilities=tuple(weight / total for weight in weights),
        # Rounding may carry the sum over one.
        label_mass=min(1.0, math.fsum(math.exp(value) for value in seen)),
        unseen_mass=unseen_mass,
    )
