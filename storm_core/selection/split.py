"""Which of the examples that stay train, and which validate.

M: examples. K: those that stay. Arrays of positions count from 0 in the index.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from storm_core.examples.index import ExampleIndex, hexadecimal
from storm_core.examples.sampling import round_quotas, shuffle

if TYPE_CHECKING:
    from numpy.typing import NDArray


def split(
    index: ExampleIndex, kept_K: "NDArray[np.int64]", fraction: float, seed: int
) -> tuple["NDArray[np.int64]", "NDArray[np.int64]"]:
    """Positions for train and for validation, each in an order that only IDs and seed decide.

    Validation gets `fraction` of all, rounded, but at least one and never all where there are two or more. Every source
    gives its share; what rounding leaves over goes to the sources with the largest remainders. Within a source the IDs
    with the lowest hashes validate, so an example's side changes little when others come or go.

    Args:
        index: all examples.
        kept_K: positions of those that stay.
        fraction: 0 to 0.5; 0 makes validation empty.
        seed: changes both choice and order.
    """
    counts = {name: int((index.source_M[kept_K] == n).sum()) for n, name in enumerate(index.sources)}
    shares = _shares(counts, fraction)
    drawn = _shuffled(index, kept_K, seed, "split")
    validates_M = np.zeros(len(index), dtype=np.bool_)
    for number, name in enumerate(index.sources):
        validates_M[drawn[index.source_M[drawn] == number][: shares[name]]] = True
    order = _shuffled(index, kept_K, seed, "order")
    return order[~validates_M[order]], order[validates_M[order]]


def _shares(counts: Mapping[str, int], fraction: float) -> dict[str, int]:
    """How many of each source validate: its part of `fraction` of the whole."""
    total = sum(counts.values())
    if fraction == 0 or total < 2:
        return dict.fromkeys(counts, 0)
    wanted = min(max(1, math.floor(fraction * total + 0.5)), total - 1)
    return round_quotas({source: fraction * count for source, count in counts.items()}, wanted)


def _shuffled(index: ExampleIndex, kept_K: "NDArray[np.int64]", seed: int, purpose: str) -> "NDArray[np.int64]":
    """The positions in an order of their own for each purpose and seed."""
    stays_M = np.zeros(len(index), dtype=np.bool_)
    stays_M[kept_K] = True
    by_id = index.order_M[stays_M[index.order_M]]
    return by_id[shuffle(map(hexadecimal, index.ids_M[by_id]), f"{purpose}/{seed}/")]
