"""Whether the judge goes by length: a sample of lengths and expected values, the same on every machine."""

from storm_core.examples.sampling import Keys, NumberSample
from storm_core.judge_audit.statistics import mean_by_group, spearman
from storm_core.verdicts.table import VerdictBatch

# Beyond so many verdicts of a source the rank correlation is a sample's; its standard error, 1/sqrt(n), is 0.003.
_SAMPLE = 100_000
_GROUPS = 10


class LengthSample:
    """Lengths in tokens and expected values of answered verdicts."""

    def __init__(self) -> None:
        self._pairs = NumberSample(_SAMPLE)

    def add(self, batch: VerdictBatch, keys: Keys) -> None:
        """Take some of these; `keys` are those of the examples."""
        answered_N = batch.answered_N
        tokens_N, expected_N = (batch.numbers(name)[answered_N] for name in ("tokens", "expected_value"))
        self._pairs.offer(keys[answered_N], tokens_N, expected_N)

    def correlation(self) -> float | None:
        """Spearman's, of length and expected value."""
        return spearman(*self._pairs.pairs())

    def mean_by_length(self) -> list[dict[str, float]]:
        """Mean expected value of each tenth of the examples by length."""
        return mean_by_group(*self._pairs.pairs(), groups=_GROUPS)
