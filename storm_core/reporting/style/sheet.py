"""The style sheet, which pages carry within them."""

from importlib.resources import files


def style_sheet() -> str:
    """The CSS that is common to all pages."""
    return files(__package__).joinpath("report.css").read_text(encoding="utf-8")
