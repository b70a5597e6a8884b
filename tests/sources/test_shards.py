"""Ranks of examples in the shards."""

import hashlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from storm_core.sources.shards import rank_by_id

identities = st.sets(st.integers(0, 10_000)).map(
    lambda numbers: [hashlib.sha256(str(number).encode()).hexdigest() for number in sorted(numbers)]
)


@given(identities, st.data())
def test_ranks_follow_the_hexadecimal_ids_of_what_is_kept(ids: list[str], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(ids))
    kept = np.flatnonzero(data.draw(st.lists(st.booleans(), min_size=len(ids), max_size=len(ids))))
    content = np.frombuffer(b"".join(map(bytes.fromhex, shuffled)), dtype="S32")
    ranks = rank_by_id(kept.astype(np.int64), content)
    in_order = sorted(kept, key=lambda row: shuffled[row])
    assert [ranks[row] for row in in_order] == list(range(len(kept)))
    assert (ranks >= 0).sum() == len(kept)
