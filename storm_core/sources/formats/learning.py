"""Which answers of a conversation are to be learned: `weight` as OpenAI has it, `train` and `training` as axolotl."""

from collections.abc import Sequence

from storm_core.errors import InputError
from storm_core.sources.formats.turns import Turn


def learned_part(turns: Sequence[Turn]) -> tuple[list[Turn], int]:
    """The turns up to the last answer that is to be learned, and how many were left out behind it.

    Raises:
        InputError: an answer before that one is not to be learned, or none is: of an example all answers are learned.
    """
    answers = [place for place, turn in enumerate(turns) if turn.role == "assistant"]
    excluded = [place for place in answers if not turns[place].learned]
    if not excluded:
        return list(turns), 0
    learned = [place for place in answers if turns[place].learned]
    if not learned:
        raise InputError("no answer is to be learned: all have the weight 0 or `train: false`")
    if excluded[0] < learned[-1]:
        raise InputError(
            f"turn {excluded[0]} is an answer not to be learned (weight 0 or `train: false`) before one that is; of an "
            "example all answers are learned: leave the row out, or end it before that turn"
        )
    return list(turns[: learned[-1] + 1]), len(turns) - learned[-1] - 1
