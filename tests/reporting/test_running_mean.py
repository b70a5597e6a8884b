from hypothesis import given
from hypothesis import strategies as st

from storm_core.reporting.figures.loss import running_mean


@given(st.lists(st.floats(0, 10), min_size=1, max_size=30), st.integers(1, 10))
def test_a_running_mean_lies_between_the_values_it_covers(values: list[float], window: int) -> None:
    means = running_mean(values, window)
    assert len(means) == len(values)
    assert all(min(values) - 1e-9 <= mean <= max(values) + 1e-9 for mean in means)
    assert running_mean(values, 1) == values
