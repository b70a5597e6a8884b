"""Several examples in one row, so that nothing is padded: which examples go together."""

from bisect import bisect_left, insort
from collections.abc import Sequence


def pack(examples: Sequence[int], lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Packs of at most `capacity` tokens: the longest example first, each into the fullest pack that has room.

    Best-fit decreasing (Johnson, 1974) needs at most 11/9 of the fewest packs possible, and one more.
    """
    packs: list[list[int]] = []
    # Room and number of each pack, sorted by room.
    open_packs: list[tuple[int, int]] = []
    for example in sorted(examples, key=lambda number: -lengths[number]):
        length = lengths[example]
        at = bisect_left(open_packs, (length, -1))
        if at == len(open_packs):
            room, number = capacity, len(packs)
            packs.append([])
        else:
            room, number = open_packs.pop(at)
        packs[number].append(example)
        insort(open_packs, (room - length, number))
    return packs
