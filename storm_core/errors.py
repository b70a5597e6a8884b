"""The errors that `storm` prints as one line; anything else is a defect and shows its traceback."""


class InputError(ValueError):
    """Bad input. The message is one line that says what, where, and what to do; `storm` prints it and stops."""


class StoreError(RuntimeError):
    """A store that cannot be used now: no bucket, no access, not reachable. One line, like `InputError`.

    Kept apart from `InputError`, after which a stage may make an artifact again: here nothing is known about it.
    """


def first_line(error: Exception) -> str:
    """The first line of what a library says is wrong, to be part of a message; its kind where it says nothing."""
    return next(iter(str(error).splitlines()), type(error).__name__)
