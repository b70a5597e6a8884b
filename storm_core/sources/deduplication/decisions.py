"""What becomes of each example in the spool: kept, or dropped because of another one or of its source's limit.

M: examples in the spool. K: examples that are kept.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from storm_core.examples.sampling import shuffle
from storm_core.sources.deduplication.near_duplicates import find_near_duplicates
from storm_core.sources.deduplication.signatures import Signatures
from storm_core.sources.deduplication.spool_index import SpoolIndex

if TYPE_CHECKING:
    from numpy.typing import NDArray

# In the order in which they apply; the first means that an example stays.
REASONS = ("", "duplicate", "near_duplicate", "over_source_limit")
_KEPT, _DUPLICATE, _NEAR_DUPLICATE, _OVER_SOURCE_LIMIT = range(len(REASONS))


@dataclass(frozen=True, kw_only=True)
class Decisions:
    """Of each example in the spool, what becomes of it; all (M,).

    Attributes:
        reasons: index into `REASONS`.
        originals: of a duplicate or near duplicate, the row in the spool that stays in its place; else -1.
        similarities: of a near duplicate, the estimated Jaccard similarity to that.
    """

    reasons: "NDArray[np.uint8]"
    originals: "NDArray[np.int64]"
    similarities: "NDArray[np.float32]"

    @property
    def kept(self) -> "NDArray[np.int64]":
        """Rows in the spool that stay."""
        return np.flatnonzero(self.reasons == _KEPT)


def decide(spool_index: SpoolIndex, *, threshold: float, limit: int, seed: int) -> Decisions:
    """Decide over all examples at once, so that no outcome depends on the order in which rows were read.

    Of equal examples the one of the source listed first stays, and within a source the first, which differs from the
    others in white space at most. Of near duplicates that of the source listed first too, and within a source the one
    with the lower content ID. The limit is then applied to what is left of each source.

    Args:
        spool_index: what is known of the examples; without signatures near duplicates stay.
        threshold: Jaccard similarity from which examples are near duplicates.
        limit: examples of each source that may stay.
        seed: decides which.
    """
    size = len(spool_index.sources)
    decisions = Decisions(
        reasons=np.zeros(size, dtype=np.uint8),
        originals=np.full(size, -1, dtype=np.int64),
        similarities=np.zeros(size, dtype=np.float32),
    )
    if size:
        ranked = _drop_duplicates(decisions, spool_index)
        if spool_index.signatures:
            _drop_near_duplicates(decisions, spool_index.signatures, ranked, threshold)
        _drop_over_limit(decisions, spool_index, limit, seed)
    return decisions


def _drop_duplicates(decisions: Decisions, spool_index: SpoolIndex) -> "NDArray[np.int64]":
    """Mark all but the first of equal examples; returns the others in the order of source, then content ID."""
    ids_M = spool_index.ids
    # Rows come in the order of the sources, and the sort keeps it among equals.
    by_id = np.argsort(ids_M, kind="stable")
    repeats = np.r_[False, ids_M[by_id[1:]] == ids_M[by_id[:-1]]]
    first_of_group = by_id[np.maximum.accumulate(np.where(repeats, 0, np.arange(len(by_id))))]
    decisions.reasons[by_id[repeats]] = _DUPLICATE
    decisions.originals[by_id[repeats]] = first_of_group[repeats]
    unique = by_id[~repeats]
    ranked: NDArray[np.int64] = unique[np.argsort(spool_index.sources[unique], kind="stable")]
    return ranked


def _drop_near_duplicates(
    decisions: Decisions, signatures: Signatures, ranked: "NDArray[np.int64]", threshold: float
) -> None:
    compared = ranked[signatures.has_signature[ranked]]
    pages = signatures.matrix
    found = find_near_duplicates(lambda examples: pages[compared[examples]], signatures.keys[compared], threshold)
    for later, earlier, similarity in found:
        row = compared[later]
        decisions.reasons[row] = _NEAR_DUPLICATE
        decisions.originals[row] = compared[earlier]
        decisions.similarities[row] = similarity


def _drop_over_limit(decisions: Decisions, spool_index: SpoolIndex, limit: int, seed: int) -> None:
    kept = decisions.kept
    source_K = spool_index.sources[kept]
    for source in np.unique(source_K):
        rows = kept[source_K == source]
        if len(rows) > limit:
            staying = shuffle(map(spool_index.identity, rows), f"{seed}:")[:limit]
            decisions.reasons[np.delete(rows, staying)] = _OVER_SOURCE_LIMIT
