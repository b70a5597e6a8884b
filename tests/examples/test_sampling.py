"""Samples of examples: bounded, and the same whatever the order and the batches in which they come."""

import hashlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from storm_core.examples.sampling import Lowest, NumberSample, allocate, keys_of, shuffle

ids = st.lists(st.text(min_size=1, max_size=6), unique=True, max_size=40)


@given(ids, st.integers(1, 9), st.integers(0, 12), st.randoms())
def test_sample_is_the_same_in_any_order_and_any_batches(names, size, limit, random):
    def sample(order, step):
        lowest: Lowest[str] = Lowest(limit)
        for start in range(0, len(order), step):
            batch = order[start : start + step]
            lowest.offer(keys_of(batch, "3/"), batch.__getitem__)
        return lowest.items()

    shuffled = list(names)
    random.shuffle(shuffled)
    expected = sorted(names, key=lambda name: int(keys_of([name], "3/")[0]))[:limit]
    assert sample(names, size) == sample(shuffled, 40) == expected


def test_another_seed_chooses_others():
    names = [f"example {number}" for number in range(1000)]
    chosen = []
    for seed in (0, 1):
        lowest: Lowest[str] = Lowest(20)
        lowest.offer(keys_of(names, f"{seed}/"), lambda place: names[place])
        chosen.append(set(lowest.items()))
    assert len(chosen[0] & chosen[1]) < 5


def test_few_items_are_made_of_a_long_stream():
    made = 0

    def make(place):
        nonlocal made
        made += 1
        return place

    lowest: Lowest[int] = Lowest(10)
    for start in range(0, 50_000, 500):
        lowest.offer(keys_of([str(number) for number in range(start, start + 500)], "0/"), make)
    assert made < 200


def test_pairs_of_numbers_stay_together_and_within_the_limit():
    sample = NumberSample(50)
    for start in range(0, 1000, 100):
        numbers = np.arange(start, start + 100, dtype=np.float64)
        sample.offer(keys_of(map(str, range(start, start + 100)), "0/"), numbers, -numbers)
    one, other = sample.pairs()
    assert len(one) == 50
    assert (one == -other).all()
    assert one.min() < 200 and one.max() > 800


@given(st.dictionaries(st.text(max_size=3), st.integers(1, 1000), min_size=1, max_size=6), st.integers(0, 500))
def test_every_source_gives_its_share(counts, wanted):
    shares = allocate(counts, wanted)
    total = sum(counts.values())
    assert sum(shares.values()) == min(wanted, total)
    for name, count in counts.items():
        assert abs(shares[name] - min(wanted, total) * count / total) < 1
        assert 0 <= shares[name] <= count


def test_nothing_is_allocated_of_nothing():
    assert allocate({"chat": 0}, 5) == {"chat": 0}


identities = st.sets(st.integers(0, 10_000)).map(
    lambda numbers: [hashlib.sha256(str(number).encode()).hexdigest() for number in sorted(numbers)]
)


def sample_ids(ids: list[str], limit: int, seed: int) -> set[str]:
    return {ids[position] for position in shuffle(ids, f"{seed}:")[:limit]}


@given(identities, st.integers(1, 50), st.integers(0, 5))
def test_sample_has_the_asked_size_and_ignores_order(ids: list[str], limit: int, seed: int) -> None:
    sample = sample_ids(ids, limit, seed)
    assert sample <= set(ids)
    assert len(sample) == min(limit, len(ids))
    assert sample == sample_ids(ids[::-1], limit, seed)


@given(identities, st.integers(1, 50))
def test_larger_sample_holds_the_smaller_one(ids: list[str], limit: int) -> None:
    assert sample_ids(ids, limit, 0) <= sample_ids(ids, limit + 1, 0)


def test_seed_changes_the_sample() -> None:
    ids = [str(number) for number in range(100)]
    assert sample_ids(ids, 10, 0) != sample_ids(ids, 10, 1)
