"""The errors that `storm` prints as one line; anything else is a defect and shows its traceback."""

# What a person still reads; a message may quote what is wrong, which may be all of a file.
_LONGEST_LINE = 1500
_SHOWN_AT_THE_END = 300


class InputError(ValueError):
    """Bad input. The message is one line that says what, where, and what to do; `storm` prints it and stops.

    One that a name or a value in it makes longer is cut in its middle.
    """

    def __init__(self, line: str) -> None:
        super().__init__(_in_one_line(line))


class StoreError(RuntimeError):
    """A store that cannot be used now: no bucket, no access, not reachable. One line, like `InputError`.

    Kept apart from `InputError`, after which a stage may make an artifact again: here nothing is known about it.
    """

    def __init__(self, line: str) -> None:
        super().__init__(_in_one_line(line))


def first_line(error: Exception) -> str:
    """The first line of what a library says is wrong, to be part of a message; its kind where it says nothing."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def _in_one_line(text: str) -> str:
    whole = text if len(text.splitlines()) < 2 else " ".join(text.split())
    if len(whole) <= _LONGEST_LINE:
        return whole
    return f"{whole[: _LONGEST_LINE - _SHOWN_AT_THE_END]} ... {whole[-_SHOWN_AT_THE_END:]}"
