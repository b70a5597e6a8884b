"""How often a stage writes down what a kill would lose."""

from hypothesis import given
from hypothesis import strategies as st

from storm_core.pacing import MAX_SHARE, Pace


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def write(pace: Pace, clock: Clock, seconds: float) -> None:
    began = pace.now()
    clock.seconds += seconds
    pace.wrote(since=began)


def test_first_write_comes_early_and_the_next_waits_until_the_work_outweighs_its_cost() -> None:
    clock = Clock()
    pace = Pace(first_seconds=10, shortest_seconds=10, longest_seconds=1000, clock=clock)
    clock.seconds = 9.9
    assert not pace.is_due()
    clock.seconds = 10
    assert pace.is_due()
    write(pace, clock, 2)
    clock.seconds += 99.9
    assert not pace.is_due()
    clock.seconds += 0.2
    assert pace.is_due()


def test_cheap_writes_keep_their_distance_and_dear_ones_come_all_the_same() -> None:
    clock = Clock()
    pace = Pace(first_seconds=10, shortest_seconds=10, longest_seconds=60, clock=clock)
    for cost, wait in ((0.001, 10), (30, 60)):
        write(pace, clock, cost)
        clock.seconds += wait - 0.1
        assert not pace.is_due()
        clock.seconds += 0.2
        assert pace.is_due()


def test_without_any_time_between_them_a_write_is_always_due() -> None:
    clock = Clock()
    pace = Pace(first_seconds=10, shortest_seconds=10, longest_seconds=0, clock=clock)
    assert pace.is_due()
    write(pace, clock, 5)
    assert pace.is_due()


def test_time_counts_from_a_restart() -> None:
    clock = Clock()
    pace = Pace(first_seconds=10, shortest_seconds=10, longest_seconds=60, clock=clock)
    clock.seconds = 50
    pace.restart()
    assert not pace.is_due()


@given(st.lists(st.floats(0, 100), min_size=2, max_size=30), st.floats(0.01, 5))
def test_writes_cost_at_most_their_share_however_uneven_they_are(costs: list[float], batch_seconds: float) -> None:
    clock = Clock()
    pace = Pace(first_seconds=10, shortest_seconds=10, longest_seconds=1e9, clock=clock)
    spent = 0.0
    for cost in costs:
        while not pace.is_due():
            clock.seconds += max(batch_seconds, cost)
        assert spent <= MAX_SHARE * clock.seconds
        write(pace, clock, cost)
        spent += cost
