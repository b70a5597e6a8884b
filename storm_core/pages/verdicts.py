"""What `score` was told by the judge: how its answers and expected values are spread."""

from collections.abc import Mapping
from typing import Any

from storm_core.pages.output_files import OutputFiles
from storm_core.pages.parts import MOST_ROWS, Part, part_of
from storm_core.reporting.contents import collect_verdicts
from storm_core.verdicts.schema import FILE_NAME


def verdicts_part(outputs: OutputFiles) -> Part:
    """Of each rubric the distributions, and its numbers by source; without Matplotlib, which vLLM's image lacks."""
    rubrics = collect_verdicts([outputs.file("verdicts", FILE_NAME)])["rubrics"]
    return part_of("verdicts.html.jinja", {"rubrics": {name: _shown(rubric) for name, rubric in rubrics.items()}})


def _shown(rubric: Mapping[str, Any]) -> dict[str, Any]:
    total, sources = rubric["total"], rubric["sources"]
    ordered = sorted(sources.items(), key=lambda item: (-item[1]["verdicts"], item[0]))
    edges = rubric["histogram_edges"]
    return {
        "total": total,
        "sources": dict(ordered[:MOST_ROWS]),
        "more": max(0, len(ordered) - MOST_ROWS),
        "low": edges[0],
        "high": edges[-1],
        "expected": _heights(total["expected_value_histogram"]),
        "labels": dict(zip(total["labels"], _heights(list(total["labels"].values())), strict=True)),
    }


def _heights(counts: list[int]) -> list[dict[str, float]]:
    """Each count with its height in percent of the highest, and its share of all."""
    highest, total = max(counts, default=0) or 1, sum(counts) or 1
    return [{"count": count, "height": 100 * count / highest, "share": count / total} for count in counts]
