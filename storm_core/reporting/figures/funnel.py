"""The curation funnel: what was read, what each reason took away, and what became of each source."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from storm_core.reporting.figures.drawing import (
    DROPPED,
    KEPT,
    KEPT_ASIDE,
    MUTED,
    RULE,
    annotate,
    draw_grid,
    new_figure,
)
from storm_core.reporting.style.pages import in_words

_ROW_INCHES = 0.3
_FRAME_INCHES = 0.7
_LEGEND_INCHES = 0.5
# For the reasons, in order: warm, so that they read as one family beside what was kept.
_REASON_COLORS = (
    "#7f3b08",
    "#b35806",
    "#d55e00",
    "#e69f00",
    "#f0c05a",
    "#a6761d",
    "#8c6d8f",
    "#b2798f",
    "#c9a0a0",
    "#8a8f96",
)


def draw_funnel(funnel: Mapping[str, Any]) -> Figure:
    """Above: all sources together, step by step. Below: the share of each source that went where."""
    reasons = [reason for reason, count in funnel["total"]["dropped"].items() if count]
    rows = len(reasons) + 3
    heights = [rows * _ROW_INCHES + _FRAME_INCHES, len(funnel["sources"]) * _ROW_INCHES + _FRAME_INCHES]
    figure = new_figure(sum(heights) + _LEGEND_INCHES)
    steps, outcomes = figure.subplots(2, 1, height_ratios=heights)
    _draw_steps(steps, funnel["total"], reasons)
    _draw_outcomes(outcomes, funnel["sources"], reasons, ("train", "validation"))
    figure.legend(*outcomes.get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return figure


def draw_outcomes(sources: Mapping[str, Mapping[str, Any]], reasons: Sequence[str], kept: Sequence[str]) -> Figure:
    """The share of each source that went where: to what of `kept`, or away for one of the reasons."""
    figure = new_figure(len(sources) * _ROW_INCHES + _FRAME_INCHES + _LEGEND_INCHES)
    axes = figure.subplots()
    _draw_outcomes(axes, sources, reasons, kept)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return figure


def _draw_steps(axes: Axes, total: Mapping[str, Any], reasons: Sequence[str]) -> None:
    left = total["read"]
    _bar(axes, 0, left, MUTED, f"{left:,}")
    labels = ["read"]
    for reason in reasons:
        dropped = total["dropped"][reason]
        left -= dropped
        axes.barh(len(labels), left, color=RULE, height=0.68)
        _bar(axes, len(labels), dropped, DROPPED, f"-{dropped:,}", start=left)
        labels.append(in_words(reason))
    _bar(axes, len(labels), total["train"], KEPT, f"{total['train']:,}")
    _bar(axes, len(labels) + 1, total["validation"], KEPT_ASIDE, f"{total['validation']:,}", start=total["train"])
    labels += ["train", "validation"]
    axes.set_title("All sources, step by step")
    _finish(axes, labels)
    axes.set_xlim(0, max(total["read"], 1) * 1.1)
    axes.set_xlabel("examples")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")


def _bar(axes: Axes, row: int, length: float, color: str, text: str, *, start: float = 0) -> None:
    axes.barh(row, length, left=start, color=color, height=0.68)
    annotate(axes, text, (start + length, row))


def _draw_outcomes(
    axes: Axes, sources: Mapping[str, Mapping[str, Any]], reasons: Sequence[str], kept: Sequence[str]
) -> None:
    outcomes = dict(zip(kept, (KEPT, KEPT_ASIDE), strict=False))
    outcomes |= {reason: _REASON_COLORS[index % len(_REASON_COLORS)] for index, reason in enumerate(reasons)}
    starts = [0.0] * len(sources)
    for outcome, color in outcomes.items():
        shares = [_share(row, outcome) for row in sources.values()]
        axes.barh(range(len(sources)), shares, left=starts, color=color, height=0.68, label=in_words(outcome))
        starts = [start + share for start, share in zip(starts, shares, strict=True)]
    axes.set_title("Each source: the share that went where")
    _finish(axes, [f"{name} ({row['read']:,})" for name, row in sources.items()])
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")


def _share(row: Mapping[str, Any], outcome: str) -> float:
    count = row[outcome] if outcome in row else row["dropped"].get(outcome, 0)
    return float(count / row["read"]) if row["read"] else 0.0


def _finish(axes: Axes, labels: Sequence[str]) -> None:
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    draw_grid(axes, "x")
