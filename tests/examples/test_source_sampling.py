import hashlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from storm_core.examples.source_sampling import sample_positions
from storm_core.sources.shards import rank_by_id

identities = st.sets(st.integers(0, 10_000)).map(
    lambda numbers: [hashlib.sha256(str(number).encode()).hexdigest() for number in sorted(numbers)]
)


def sample_ids(ids: list[str], limit: int, seed: int) -> set[str]:
    return {ids[position] for position in sample_positions(ids, len(ids), limit, seed)}


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


@given(identities, st.data())
def test_ranks_follow_the_hexadecimal_ids_of_what_is_kept(ids: list[str], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(ids))
    kept = np.flatnonzero(data.draw(st.lists(st.booleans(), min_size=len(ids), max_size=len(ids))))
    numbers = np.array([np.frombuffer(bytes.fromhex(one), dtype=">u8") for one in shuffled], dtype=np.uint64)
    ranks = rank_by_id(kept.astype(np.int64), numbers.reshape(-1, 4))
    in_order = sorted(kept, key=lambda row: shuffled[row])
    assert [ranks[row] for row in in_order] == list(range(len(kept)))
    assert (ranks >= 0).sum() == len(kept)
