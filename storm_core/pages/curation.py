"""What became of the rows that `prepare` read, and of the examples that `select` chose from: two funnels."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from storm_core.pages.output_files import OutputFiles
from storm_core.pages.parts import MOST_ROWS, Part, part_of
from storm_core.reporting.figures.drawing import to_svg
from storm_core.reporting.figures.funnel import draw_funnel, draw_outcomes

_OTHERS = "others"


def selection_part(outputs: OutputFiles) -> Part:
    """The funnel from what was read to what trains and validates, and its table by source."""
    funnel = outputs.json("selection", "funnel.json")
    shown = {"sources": condensed(funnel["sources"]), "total": funnel["total"]}
    total = funnel["total"]
    figure = to_svg(
        lambda: draw_funnel(shown),
        name="funnel",
        title="Curation funnel",
        description=f"Of {total['read']:,} examples {total['train']:,} train and {total['validation']:,} validate.",
    )
    return part_of("curation.html.jinja", {**shown, "figure": figure, "kept": ("train", "validation")})


def sources_part(outputs: OutputFiles) -> Part:
    """The share of each source that went where, and its table."""
    ledger = outputs.json("examples", "ledger.json")
    sources = condensed(ledger["sources"])
    total = _sum(ledger["sources"].values())
    figure = to_svg(
        lambda: draw_outcomes(sources, list(total["dropped"]), kept=("kept",)),
        name="sources",
        title="What became of each source",
        description=f"Of {total['read']:,} rows {total['kept']:,} are kept.",
    )
    values = {"sources": sources, "total": total, "figure": figure, "kept": ("kept",), "held_out": ledger["held_out"]}
    return part_of("curation.html.jinja", values)


def condensed(sources: Mapping[str, Any]) -> dict[str, Any]:
    """The sources with the most rows, and the others as one, so that a figure of thousands can be read."""
    ordered = sorted(sources.items(), key=lambda item: (-item[1]["read"], item[0]))
    if len(ordered) <= MOST_ROWS:
        return dict(sources)
    first, others = ordered[: MOST_ROWS - 1], ordered[MOST_ROWS - 1 :]
    return {**dict(first), f"{len(others)} {_OTHERS}": _sum(row for _, row in others)}


def _sum(rows: Any) -> dict[str, Any]:
    """All rows as one, reason by reason."""
    counts, dropped = Counter[str](), Counter[str]()
    for row in rows:
        counts.update({name: count for name, count in row.items() if name != "dropped"})
        dropped.update(row["dropped"])
    return {**counts, "dropped": dict(sorted(dropped.items(), key=lambda item: -item[1]))}
