"""Whether the files of a split are all there, where their names say how many they are: `train-00000-of-00003`."""

import re
from collections import defaultdict
from collections.abc import Iterable

from storm_core.errors import InputError

_SHARD = re.compile(r"(.*-)(\d{5})(-of-(\d{5})(?!\d).*)")
_MOST_NAMED = 3


def check_shards(names: Iterable[str]) -> None:
    """Refuse files of which others are missing.

    Raises:
        InputError: names those that are missing.
    """
    found: dict[tuple[str, str], set[int]] = defaultdict(set)
    for name in names:
        if shard := _SHARD.fullmatch(name):
            found[shard[1], shard[3]].add(int(shard[2]))
    for (before, after), numbers in found.items():
        count = int(after[len("-of-") : len("-of-") + 5])
        missing = [f"{before}{number:05d}{after}" for number in range(count) if number not in numbers]
        if missing:
            some = ", ".join(missing[:_MOST_NAMED]) + (", ..." if len(missing) > _MOST_NAMED else "")
            raise InputError(
                f"{len(numbers)} of {count} files are there, and not {some}; fetch the others, or name the files that "
                "are wanted as sources of their own"
            )
