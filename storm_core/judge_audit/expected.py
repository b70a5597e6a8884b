"""What verdicts must say of themselves to be the audited judge's."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from storm_core.errors import InputError
from storm_core.judging.wording.rubrics import Rubric
from storm_core.verdicts.table import VerdictBatch

_SHORT = 12


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What every verdict must say of itself.

    Attributes:
        judge_digest: of the judge that is audited.
        rubrics: that it is asked by, by name.
        max_length: most tokens of an example that it reads.
    """

    judge_digest: str
    rubrics: Mapping[str, Rubric]
    max_length: int

    def check(self, batch: VerdictBatch, path: Path) -> None:
        """Refuse verdicts of another judge, by other rubrics, or on examples that were cut elsewhere.

        Raises:
            InputError: says which, and what to give.
        """
        wording, rubric = batch.wording, self.rubrics[batch.wording.rubric]
        if batch.judge_digest != self.judge_digest:
            raise InputError(
                f"{path} has verdicts of the judge {batch.judge_digest[:_SHORT]}, but the judge given is "
                f"{self.judge_digest[:_SHORT]}; give the model, engine and endpoint that score was given"
            )
        if (wording.sha256, wording.labels) != (rubric.sha256, rubric.labels):
            raise InputError(
                f"{path} has verdicts on {wording.rubric} in the wording {wording.sha256[:_SHORT]}, but that of the "
                f"rubrics given is {rubric.sha256[:_SHORT]}; give the rubrics that score was given"
            )
        if not np.array_equal(batch.numbers("truncated") > 0, batch.numbers("tokens") > self.max_length):
            raise InputError(
                f"{path} has verdicts on examples that were cut elsewhere than at max_length {self.max_length}; give "
                "the max_length that score was given"
            )
