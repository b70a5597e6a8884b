"""`report`: gather what the other stages left, write `report.html` and `results.json`."""

import json
from collections.abc import Mapping
from pathlib import Path

from storm_core.heartbeat import activity
from storm_core.reporting.config import ReportConfig
from storm_core.reporting.contents import collect
from storm_core.reporting.page import render_page
from storm_core.reporting.scoreboard import shown_roles
from storm_core.stage import Inputs, Results


def run(config: ReportConfig, inputs: Inputs, outputs: Mapping[str, Path]) -> Results:
    """Write the page and the data behind it.

    Raises:
        InputError: an input is not what its stage writes.
    """
    with activity("collect the numbers"):
        results = collect(config.title, inputs)
    directory = outputs["report"]
    with activity("draw the page"):
        (directory / "report.html").write_text(render_page(results), encoding="utf-8")
    text = json.dumps(results, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    (directory / "results.json").write_text(text, encoding="utf-8")
    total = results["funnel"]["total"]
    return Results(
        metrics={
            "gate_passed": float(results["decision"]["passed"]),
            "models": len(shown_roles(results["evaluations"])),
            "examples_read": total["read"],
            "examples_selected": total["train"] + total["validation"],
        }
    )
