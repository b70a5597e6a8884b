"""A schedule as Kubeflow Pipelines reads it: six fields, the seconds first, in the form of robfig/cron."""

import re

from storm_core.errors import InputError

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
# Of each field what it is, its range, and the names that may stand for numbers.
_FIELDS: tuple[tuple[str, int, int, tuple[str, ...]], ...] = (
    ("second", 0, 59, ()),
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    ("day of the week", 0, 6, _DAYS),
)
_PART = re.compile(r"(?P<first>\w+|[*?])(?:-(?P<last>\w+))?(?:/(?P<step>\d+))?", re.ASCII)


def kfp_cron(text: str) -> str:
    """The six fields of `text`, which has them, or the usual five: then at second 0.

    Raises:
        InputError: it has another number of fields, or one is out of its range.
    """
    given = text.split()
    if len(given) not in (5, 6):
        raise InputError(
            f"--schedule must have five fields (minute, hour, day of the month, month, day of the week), or six with "
            f"seconds first; got {len(given)} in {text!r}"
        )
    fields = ["0", *given] if len(given) == 5 else given
    for value, (name, lowest, highest, words) in zip(fields, _FIELDS, strict=True):
        if not all(_fits(part, lowest, highest, words) for part in value.split(",")):
            raise InputError(
                f"--schedule: the {name} must be of {lowest} to {highest}, or *; got {value!r} in {text!r}"
            )
    return " ".join(fields)


def _fits(part: str, lowest: int, highest: int, words: tuple[str, ...]) -> bool:
    found = _PART.fullmatch(part)
    if not found or found["step"] == "0" or (found["last"] and found["first"] in "*?"):
        return False
    if found["first"] in "*?":
        return True
    ends = [_number(end, lowest, words) for end in (found["first"], found["last"] or found["first"])]
    return all(lowest <= end <= highest for end in ends) and ends[0] <= ends[1]


def _number(text: str, lowest: int, words: tuple[str, ...]) -> int:
    if text.lower() in words:
        return words.index(text.lower()) + lowest
    return int(text) if text.isdigit() else -1
