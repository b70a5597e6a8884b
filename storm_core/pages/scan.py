"""What `scan` found: the ratio of every matrix, layer by module type, and which of them are to be trained."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from storm_core.pages.output_files import OutputFiles
from storm_core.pages.parts import Part, part_of
from storm_core.reporting.figures.drawing import to_svg
from storm_core.reporting.figures.snr import draw_snr


def scan_part(outputs: OutputFiles) -> Part:
    """The heat map, and a table of the module types."""
    scan = outputs.json("scan", "scan.json")
    matrices = scan["matrices"]
    scanned = [matrix for matrix in matrices if matrix["layer"] is not None]
    chosen = sum(matrix["unfrozen"] for matrix in scanned)
    figure = to_svg(
        lambda: draw_snr(matrices),
        name="snr",
        title="Signal-to-noise ratio of each matrix, layer by module type",
        description=f"{chosen} of {len(scanned)} matrices are to be trained: dots.",
    )
    others = [matrix for matrix in matrices if matrix["layer"] is None and matrix["unfrozen"]]
    values = {"percent_asked": scan["unfrozen_percent"], "figure": figure, "types": _types(scanned), "others": others}
    return part_of("scan.html.jinja", {**values, "chosen": chosen, "scanned": len(scanned)})


def _types(scanned: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Of each module type how many matrices there are and are chosen, and their least and greatest ratio."""
    counts = Counter(matrix["type"] for matrix in scanned)
    return [
        {
            "name": kind,
            "matrices": count,
            "layers": sorted(matrix["layer"] for matrix in scanned if matrix["type"] == kind and matrix["unfrozen"]),
            "least": min(float(matrix["snr"]) for matrix in scanned if matrix["type"] == kind),
            "greatest": max(float(matrix["snr"]) for matrix in scanned if matrix["type"] == kind),
        }
        for kind, count in sorted(counts.items())
    ]
