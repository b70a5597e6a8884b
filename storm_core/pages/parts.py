"""What the page of one stage has besides what all pages have, and how a template is filled in."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from markupsafe import Markup

from storm_core.introduction import bytes_in_words
from storm_core.reporting.style.pages import page_template

# Of a table or figure; the outputs hold all of them.
MOST_ROWS = 40
# Of a text in a table: names and options may have any length.
_MOST_CHARACTERS = 400


@dataclass(frozen=True, kw_only=True)
class Part:
    """What came out, as HTML.

    Attributes:
        html: sections for the page of the stage, as `fill` makes them.
        document: a whole page that the stage wrote itself, to which is added what all pages have; `html` is empty then.
    """

    html: str = ""
    document: str = ""


def part_of(template: str, values: Mapping[str, Any]) -> Part:
    """The part that the file `template` makes of these values."""
    return Part(html=fill(template, values))


def fill(template: str, values: Mapping[str, Any]) -> Markup:
    """The HTML that the file `template` makes of these values; all text in them is escaped."""
    filters = {"count": lambda number: f"{number:,}", "number": number_in_words, "size": bytes_in_words, "cut": cut}
    return Markup(page_template(page_text(template), filters).render(values))  # noqa: S704 (the template escapes)


def page_text(name: str) -> str:
    """The file `name` beside this module."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def number_in_words(value: float) -> str:
    """12345 as `12,345`, 0.123456 as `0.1235`."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.4g}"


def cut(text: str) -> str:
    """The text, or its start where it is long."""
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}…"
