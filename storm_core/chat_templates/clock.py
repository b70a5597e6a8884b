"""The clock that templates look at while they are rendered."""

import contextlib
from collections.abc import Iterator
from datetime import datetime
from types import SimpleNamespace
from typing import Any


@contextlib.contextmanager
def clock_at(day: datetime) -> Iterator[None]:
    """Have `strftime_now` in a template tell this day; transformers takes no other function in its place."""
    from transformers.utils import chat_template_utils

    module: Any = chat_template_utils
    clock = module.datetime
    module.datetime = SimpleNamespace(now=lambda: day)
    try:
        yield
    finally:
        module.datetime = clock
