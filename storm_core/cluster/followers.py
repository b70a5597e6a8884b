"""Who follows a training: a lease of each follower in the store, which the training itself looks at.

Kubeflow Pipelines kills a component without grace, so nothing can be said when the end comes; what is renewed no more
tells it. Several runs may follow one training, and it ends with the last of them.
"""

import contextlib
import os
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator

from storm_core.errors import InputError, StoreError
from storm_core.heartbeat import in_words
from storm_core.processes import is_main
from storm_core.progress import report
from storm_core.stores.leases import LEASES, held
from storm_core.stores.ledger import Ledger
from storm_core.stores.store import Store

# Set for the processes of a training: the run key under which its followers' leases lie, and after how many seconds
# without one it ends.
KEY_VARIABLE = "STORM_TRAINING_KEY"
UNFOLLOWED_VARIABLE = "STORM_UNFOLLOWED_SECONDS"
_FOLLOWERS = "followers"
_LEASE_SECONDS = 180.0
_LOOKS_PER_LIMIT = 10
_LONGEST_BETWEEN_LOOKS = 60.0


@contextlib.contextmanager
def following(ledger: Ledger, key: str, unfollowed_seconds: float) -> Iterator[None]:
    """Hold a follower's lease while the body runs. It says nothing of an end: that is in its age."""
    lease = f"{_FOLLOWERS}/{key}/{secrets.token_hex(8)}"
    with held(ledger, lease, seconds=min(_LEASE_SECONDS, unfollowed_seconds)):
        yield


def forget(ledger: Ledger, key: str) -> None:
    """Remove the leases of all followers: what they followed is over."""
    with contextlib.suppress(StoreError):
        for place in ledger.ages(_place(key)):
            ledger.tidy(place)


def unfollowed_seconds(ledger: Ledger, key: str) -> float | None:
    """Seconds since somebody last followed the training; None where no follower is known.

    Raises:
        StoreError: the store cannot be used.
    """
    return min(ledger.ages(_place(key)).values(), default=None)


@contextlib.contextmanager
def while_followed(store: Store | None, key: str) -> Iterator[None]:
    """On a node of a training, let its first process end it in order once nobody follows it; elsewhere nothing.

    Raises:
        InputError: the run that the nodes were made for has another key.
    """
    expected = os.environ.get(KEY_VARIABLE)
    if expected is None or store is None or not is_main():
        yield
        return
    if expected != key:
        raise InputError("the nodes have other code or packages than the component; give both the same image")
    with ends_unfollowed(store.ledger, key, float(os.environ[UNFOLLOWED_VARIABLE])):
        yield


@contextlib.contextmanager
def ends_unfollowed(ledger: Ledger, key: str, limit_seconds: float) -> Iterator[None]:
    """While the body runs, send this process SIGTERM once nobody has followed for so long: it leaves a checkpoint."""
    over = threading.Event()

    def end() -> None:
        report(f"train: nobody has followed for {in_words(limit_seconds)}; it ends itself", "warning")
        os.kill(os.getpid(), signal.SIGTERM)

    watching = threading.Thread(target=_watch, args=(ledger, key, limit_seconds, over, end), daemon=True)
    watching.start()
    try:
        yield
    finally:
        over.set()
        watching.join()


def is_unfollowed(ledger: Ledger, key: str, limit_seconds: float, since: float) -> bool:
    """Whether the training is to end: nobody has followed for so long.

    Args:
        ledger: of the store.
        key: of the run.
        limit_seconds: how long.
        since: a time by `time.monotonic` from which to count where no follower is known.
    """
    try:
        age = unfollowed_seconds(ledger, key)
    except StoreError:  # Nothing is known; a follower cannot renew its lease either.
        return False
    return (time.monotonic() - since if age is None else age) > limit_seconds


def _watch(ledger: Ledger, key: str, limit_seconds: float, over: threading.Event, end: Callable[[], None]) -> None:
    started = time.monotonic()
    while not over.wait(min(limit_seconds / _LOOKS_PER_LIMIT, _LONGEST_BETWEEN_LOOKS)):
        if is_unfollowed(ledger, key, limit_seconds, started):
            end()
            return


def _place(key: str) -> str:
    return f"{LEASES}/{_FOLLOWERS}/{key}"
