"""The one error that means: the caller gave something that cannot work."""


class InputError(ValueError):
    """Bad input. The message is one line that says what, where, and what to do; `storm` prints it and stops."""
