"""A process that ends with the one that started it, however that one ended: killed by hand, or for its memory."""

import os
import signal
import threading
import time

# Set by whoever starts a `storm` that is not to outlive it: the number of its own process.
PARENT_VARIABLE = "STORM_PARENT_PROCESS"
_SECONDS_BETWEEN_LOOKS = 0.1


def end_with_parent() -> None:
    """Send this process SIGTERM once its parent is gone, where that asked for it; a stage keeps a checkpoint then.

    Looked at again and again: what Linux offers, `PR_SET_PDEATHSIG`, speaks of the parent's thread, is lost where the
    user changes, and is not on other systems.
    """
    parent = os.environ.pop(PARENT_VARIABLE, None)  # Of this process alone, not of what it starts.
    if parent is not None:
        threading.Thread(target=_watch, args=(int(parent),), name="parent", daemon=True).start()


def with_this_parent() -> dict[str, str]:
    """The variable that lets a `storm` which this process starts end with it."""
    return {PARENT_VARIABLE: str(os.getpid())}


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    os.kill(os.getpid(), signal.SIGTERM)
