"""What all pages share: how their templates are filled in, and the style sheet, which they carry within them."""

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

_SHORT_DIGEST = 12


def page_template(text: str, filters: Mapping[str, Any]) -> Template:
    """The template in `text`, with these filters beside those of all pages: `percent`, `words` and `short`."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    shared = {"percent": percent, "words": in_words, "short": lambda digest: digest[:_SHORT_DIGEST]}
    environment.filters |= {**shared, **filters}
    return environment.from_string(text)


def style_sheet(own: str = "") -> Markup:
    """The CSS that is common to all pages, followed by a page's own."""
    # Both are files of ours; escaping would turn their quotes into entities.
    return Markup(files(__package__).joinpath("report.css").read_text(encoding="utf-8") + own)  # noqa: S704


def percent(fraction: float | None) -> str:
    """0.1234 as 12.3%."""
    return "none" if fraction is None else f"{100 * fraction:.1f}%"


def in_words(name: str) -> str:
    """`low_educational_value` as `low educational value`."""
    return name.replace("_", " ")
