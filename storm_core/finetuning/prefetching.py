"""Things made ahead of whoever takes them, in one thread beside the one that computes.

Not by torch's `DataLoader`: it makes nothing ahead but in processes, which would hold the examples again.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")

# One is computed, one is ready, and one is made.
_AHEAD = 2


@contextmanager
def made_ahead(make: Callable[[Item], Made], items: Iterable[Item]) -> Iterator[Iterator[Made]]:
    """What `make` makes of each item, in their order, a few before they are taken.

    What it raises is raised where its thing is taken. However the `with` ends, the thread has ended after it.
    """
    pool = ThreadPoolExecutor(1, "made ahead")
    try:
        yield _in_order(pool, make, iter(items))
    finally:
        pool.shutdown(cancel_futures=True)


def _in_order(pool: ThreadPoolExecutor, make: Callable[[Item], Made], items: Iterator[Item]) -> Iterator[Made]:
    waiting: deque[Future[Made]] = deque(pool.submit(make, item) for item in islice(items, _AHEAD))
    while waiting:
        waiting += [pool.submit(make, item) for item in islice(items, 1)]
        yield waiting.popleft().result()
