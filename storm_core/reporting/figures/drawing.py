"""Matplotlib figures as inline SVG: equal bytes for equal input, named for screen readers, coloured by the page.

Ink, muted ink, rules and paper are written as the page's CSS variables, so that a figure follows the page's light or
dark scheme.
"""

import io
import re
from collections.abc import Callable
from typing import Any, Literal

from markupsafe import Markup, escape
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

# Stand-ins that no palette holds; `_PAGE_COLORS` says what the page makes of them.
INK = "#010203"
MUTED = "#010204"
RULE = "#010205"
PAPER = "#010206"
_PAGE_COLORS = {INK: "currentColor", MUTED: "var(--muted)", RULE: "var(--rule)", PAPER: "var(--paper)"}

# Okabe and Ito's palette, which people with impaired colour vision can tell apart.
ROLE_COLORS = {
    "base": "#8a8f96",
    "sibling": "#cc79a7",
    "tuned": "#3d8fd1",
    "merged": "#009e73",
    "quantized": "#e69f00",
}
KEPT, KEPT_ASIDE, DROPPED = "#009e73", "#56b4e9", "#d55e00"

# The width of the page's column: nine points of text are then about as large as the page's own.
WIDTH_INCHES = 9.2
_SETTINGS: dict[Any, Any] = {  # Matplotlib spells out every key as a type
    "svg.fonttype": "none",  # text stays text: it can be selected, searched and read aloud
    "text.parse_math": False,  # a dollar sign in a source's name is a dollar sign
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.axisbelow": True,
    "text.color": INK,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


def to_svg(draw: Callable[[], Figure], *, name: str, title: str, description: str) -> Markup:
    """The SVG element of the figure that `draw` makes, safe to put into a page.

    Args:
        draw: makes the figure; called with the report's settings in force.
        name: unique in the page; prefixes every id.
        title: what the figure shows, for screen readers.
        description: what there is to see in it.
    """
    with rc_context({**_SETTINGS, "svg.hashsalt": name}):
        buffer = io.StringIO()
        metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        FigureCanvasSVG(draw()).print_svg(buffer, metadata=metadata)  # type: ignore[no-untyped-call]
    svg = buffer.getvalue()
    body = svg[svg.index(">", svg.index("<svg")) + 1 :]
    # Matplotlib's style element would apply to the whole page.
    body = re.sub(r"<style.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r"url\(#", f"url(#{name}-", body)
    body = re.sub(r'xlink:href="#', f'href="#{name}-', body)
    # The page's own font; Matplotlib's, by which it measured, is among the widest, so that nothing grows out of place.
    body = body.replace("'DejaVu Sans'", "system-ui")
    for color, page_color in _PAGE_COLORS.items():
        body = body.replace(color, page_color)
    width, height = re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)[0]
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-labelledby="{name}-title {name}-description"><title id="{name}-title">{escape(title)}</title>'
        f'<desc id="{name}-description">{escape(description)}</desc>'
    )
    lines = [line.rstrip() for line in (opening + body).splitlines()]
    return Markup("\n".join(line for line in lines if line))  # noqa: S704 (Matplotlib escapes what it draws)


def new_figure(height_inches: float) -> Figure:
    """An empty figure of the page's width."""
    return Figure(figsize=(WIDTH_INCHES, height_inches), layout="constrained")


def hide_ticks(axes: Axes) -> None:
    """Take the tick marks away and leave their labels."""
    axes.tick_params(length=0)


def draw_grid(axes: Axes, axis: Literal["x", "y"]) -> None:
    """Draw lines across this axis, and take the left edge and the tick marks away."""
    axes.spines["left"].set_visible(False)
    axes.grid(axis=axis)
    hide_ticks(axes)


def annotate(
    axes: Axes, text: str, point: tuple[float, float], *, gap_points: float = 4, font_points: float = 8
) -> None:
    """Write `text` to the right of a point of the data."""
    axes.annotate(
        text, point, (gap_points, 0), textcoords="offset points", va="center", color=INK, fontsize=font_points
    )
