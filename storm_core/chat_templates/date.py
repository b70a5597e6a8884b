"""The date that chat templates write: one for all that is judged, trained and evaluated, whatever day it is."""

from datetime import datetime
from typing import Any

from storm_core.config import option
from storm_core.errors import InputError

# That of Llama 3.1's template, which asks for no date. Today's would make each day's results differ.
DEFAULT_DATE = "2024-07-26"
OPTION = "template_date"


def date_option() -> Any:
    """The option `template_date` of a stage that renders conversations."""
    return option(
        "what chat templates that ask for today's date are told, as YYYY-MM-DD: the same on every day, in every stage",
        DEFAULT_DATE,
        check=read_date,
    )


def read_date(text: str) -> datetime:
    """The day, at midnight.

    Raises:
        InputError: `text` is not a day as 2024-07-26.
    """
    try:
        return datetime.strptime(text, "%Y-%m-%d")
    except ValueError:
        raise InputError(f"{OPTION} must be a day written as {DEFAULT_DATE}, got {text!r}") from None
