import hashlib

from hypothesis import given
from hypothesis import strategies as st

from storm_core.sources.sampling import assign_shards, sample_ids

identities = st.sets(st.integers(0, 10_000)).map(
    lambda numbers: [hashlib.sha256(str(number).encode()).hexdigest() for number in sorted(numbers)]
)


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


@given(identities, st.integers(1, 20))
def test_shards_are_balanced_complete_and_ignore_order(ids: list[str], shards: int) -> None:
    assigned = assign_shards(ids, shards)
    assert assigned == assign_shards(ids[::-1], shards)
    assert set(assigned) == set(ids)
    sizes = [list(assigned.values()).count(number) for number in range(min(shards, len(ids)))]
    assert sum(sizes) == len(ids)
    assert not sizes or max(sizes) - min(sizes) <= 1
