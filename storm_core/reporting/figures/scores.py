"""What the judge said: histograms of expected values and labels, one row a source."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from storm_core.reporting.figures.drawing import INK, MUTED, ROLE_COLORS, draw_grid, new_figure
from storm_core.reporting.style.pages import in_words

_ROW_INCHES = 1.45
_FRAME_INCHES = 0.6
_COLORS = (ROLE_COLORS["tuned"], ROLE_COLORS["merged"], ROLE_COLORS["quantized"])


def draw_scores(rubrics: Mapping[str, Any], thresholds: Mapping[str, float]) -> Figure:
    """For every source and rubric the expected values and the labels; all as shares of the source.

    Args:
        rubrics: as `contents.collect` returns them.
        thresholds: of the expected value, by rubric, where one applied; drawn as a line.
    """
    sources = list(dict.fromkeys(name for rubric in rubrics.values() for name in rubric["sources"]))
    figure = new_figure(len(sources) * _ROW_INCHES + _FRAME_INCHES)
    grid = figure.subplots(len(sources), 2 * len(rubrics), squeeze=False, sharex="col", sharey="col")
    for column, (name, rubric) in enumerate(rubrics.items()):
        color = _COLORS[column % len(_COLORS)]
        title = in_words(name)
        grid[-1][2 * column].set_xlabel(f"{title}:\nexpected value")
        grid[-1][2 * column + 1].set_xlabel(f"{title}:\nmost probable label")
        for row, source in enumerate(sources):
            expected, labels = grid[row][2 * column], grid[row][2 * column + 1]
            numbers = rubric["sources"].get(source)
            _draw_expected(expected, rubric["histogram_edges"], numbers, color, thresholds.get(name))
            _draw_labels(labels, rubric["labels"], numbers, color)
    for row, source in enumerate(sources):
        grid[row][0].set_title(source)
    return figure


def _draw_expected(
    axes: Axes, edges: Sequence[float], numbers: Mapping[str, Any] | None, color: str, threshold: float | None
) -> None:
    if numbers:
        shares = [count / numbers["verdicts"] for count in numbers["expected_value_histogram"]]
        axes.stairs(shares, edges, fill=True, color=color)
    if threshold is not None:
        axes.axvline(threshold, color=INK, linewidth=1, linestyle="--")
    axes.set_xlim(edges[0], edges[-1])
    axes.set_xticks(range(int(edges[0]), int(edges[-1]) + 1))
    _finish(axes, numbers)


def _draw_labels(axes: Axes, labels: Sequence[str], numbers: Mapping[str, Any] | None, color: str) -> None:
    if numbers:
        axes.bar(labels, [numbers["labels"][label] / numbers["verdicts"] for label in labels], color=color, width=0.75)
    else:
        axes.set_xticks(range(len(labels)), labels)
    _finish(axes, numbers)


def _finish(axes: Axes, numbers: Mapping[str, Any] | None) -> None:
    if not numbers:
        axes.text(0.5, 0.5, "no verdicts", transform=axes.transAxes, ha="center", va="center", color=MUTED)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.yaxis.set_major_locator(MaxNLocator(nbins=3))
    axes.tick_params(axis="y", labelsize=7, labelcolor=MUTED)
    draw_grid(axes, "y")
