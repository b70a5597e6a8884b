"""Variables of the environment that hold more than was meant."""

import os
from collections.abc import Iterable


def stray_blank(names: Iterable[str]) -> str | None:
    """What to say of the first of these variables with a blank or a line break around its value; None where none has.

    A secret has one that was written to its file with `echo`. In a header it is an error that names no variable, and a
    signature is wrong by it.
    """
    for name in names:
        value = os.environ.get(name, "")
        if value != value.strip():
            return f"{name} begins or ends with a blank or a line break; set it without (`printf %s`, not `echo`)"
    return None
