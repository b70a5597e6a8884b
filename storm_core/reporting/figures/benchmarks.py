"""Every model on every benchmark, with standard errors."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from storm_core.reporting.figures.drawing import INK, ROLE_COLORS, annotate, draw_grid, new_figure

_BAR_INCHES = 0.2
_GAP_BARS = 0.9
_FRAME_INCHES = 0.9


def draw_benchmarks(rows: Sequence[Mapping[str, Any]], roles: Mapping[str, str]) -> Figure:
    """Horizontal bars in one group a benchmark; whiskers are one standard error to each side.

    Args:
        rows: one a benchmark, with `title` and `scores`: value and stderr by role.
        roles: the models to show and how they are called.
    """
    figure = new_figure(len(rows) * (len(roles) + _GAP_BARS) * _BAR_INCHES + _FRAME_INCHES)
    axes = figure.subplots()
    centres = []
    for group, row in enumerate(rows):
        start = group * (len(roles) + _GAP_BARS)
        centres.append(start + (len(roles) - 1) / 2)
        for place, role in enumerate(roles):
            value, stderr = row["scores"][role]["value"], row["scores"][role]["stderr"] or 0.0
            axes.barh(
                start + place,
                value,
                height=0.86,
                color=ROLE_COLORS[role],
                xerr=stderr,
                error_kw={"ecolor": INK, "elinewidth": 0.9, "capsize": 2},
                label=roles[role] if group == 0 else None,
            )
            annotate(axes, f"{100 * value:.1f}", (value + stderr, start + place), font_points=7.5)
    axes.set_yticks(centres, [row["title"] for row in rows])
    axes.set_ylim(len(rows) * (len(roles) + _GAP_BARS) - _GAP_BARS, -1)
    axes.set_xlim(0, 1.06)
    axes.set_xticks([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}")
    axes.set_xlabel("score, percent")
    draw_grid(axes, "x")
    figure.legend(loc="outside upper left", ncols=len(roles), handlelength=1.2)
    return figure
