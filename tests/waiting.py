"""Waiting for what another process or a server does in its own time."""

import time
from collections.abc import Callable
from typing import Any


def wait_for(ask: Callable[[], Any], *, seconds: float = 240.0) -> Any:
    """The first answer that is not empty."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := ask():
            return answer
        time.sleep(0.3)
    raise AssertionError(f"no answer within {seconds:.0f} s")
