"""The report as one HTML page that needs nothing else: style and figures are in it, and no script is."""

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from markupsafe import Markup

from storm_core.reporting.figures.benchmarks import draw_benchmarks
from storm_core.reporting.figures.drawing import to_svg
from storm_core.reporting.figures.funnel import draw_funnel
from storm_core.reporting.figures.loss import draw_loss
from storm_core.reporting.figures.scores import draw_scores
from storm_core.reporting.figures.snr import draw_snr
from storm_core.reporting.scoreboard import MEAN, score_rows, shown_roles, sibling_is_base
from storm_core.reporting.style.pages import page_template, percent, style_sheet


def render_page(results: Mapping[str, Any]) -> str:
    """The HTML of the report on `results`, as `collect` returns them."""
    filters = {
        "count": lambda number: f"{number:,}",
        "points": points,
        "parameters": parameters_in_words,
        "commonest_label": commonest_label,
        "mean": lambda value: "none" if value is None else f"{value:.2f}",
    }
    rows = score_rows(results["evaluations"], results["decision"])
    template = files(__package__).joinpath("report.html.jinja").read_text(encoding="utf-8")
    return page_template(template, filters).render(
        **results,
        style=style_sheet(),
        figures=_figures(results, rows),
        roles=shown_roles(results["evaluations"]),
        sibling_is_base=sibling_is_base(results["evaluations"]),
        rows=rows,
        mean=rows[-1],
        unscanned=[matrix for matrix in results["scan"]["matrices"] if matrix["layer"] is None],
        scanned=[matrix for matrix in results["scan"]["matrices"] if matrix["layer"] is not None],
        settings=settings(results),
    )


def points(score: Mapping[str, Any]) -> str:
    """A score in percent with its standard error: 41.2 ± 3.1."""
    value = f"{100 * score['value']:.1f}"
    return value if score["stderr"] is None else f"{value} ± {100 * score['stderr']:.1f}"


def parameters_in_words(count: int) -> str:
    """134515008 as 134.5M."""
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        if count >= size:
            return f"{count / size:.1f}{letter}"
    return str(count)


def commonest_label(numbers: Mapping[str, Any]) -> str:
    """The commonest answer and its share of the answers: `medium, 61.0%`; the first of equals."""
    answered = sum(numbers["labels"].values())
    label = max(numbers["labels"], key=lambda label: numbers["labels"][label])
    return f"{label}, {percent(numbers['labels'][label] / answered)}" if answered else "none"


def settings(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each stage among the producers of the inputs, once for each config, and the options it ran with."""
    listed: list[dict[str, Any]] = []
    for origins in results["lineage"].values():
        for origin in origins:
            # Which shard was scored is no setting, and there may be hundreds.
            config = {name: value for name, value in origin["config"].items() if name != "shard"}
            entry = {"verb": origin["verb"], "config": config}
            if config and entry not in listed:
                listed.append(entry)
    return listed


def _figures(results: Mapping[str, Any], rows: list[dict[str, Any]]) -> dict[str, Markup]:
    matrices, total = results["scan"]["matrices"], results["funnel"]["total"]
    benchmarks = [row for row in rows if row["name"] != MEAN]
    return {
        "funnel": to_svg(
            lambda: draw_funnel(results["funnel"]),
            name="funnel",
            title="Curation funnel",
            description=f"Of {total['read']:,} examples, {total['train']:,} are left for training and "
            f"{total['validation']:,} for validation. The table below has every number.",
        ),
        "scores": to_svg(
            lambda: draw_scores(results["verdicts"]["rubrics"], _thresholds(results)),
            name="scores",
            title="Scores of the judge by source",
            description="Histograms of expected values and bars of labels. The table below has every number.",
        ),
        "snr": to_svg(
            lambda: draw_snr(matrices),
            name="snr",
            title="Signal-to-noise ratio of each matrix, layer by module type",
            description=f"{sum(m['unfrozen'] for m in matrices)} of {len(matrices)} matrices are trained: dots.",
        ),
        "loss": to_svg(
            lambda: draw_loss(results["training"]["history"]),
            name="loss",
            title="Training and validation loss by step",
            description="The table below has the validation losses.",
        ),
        "benchmarks": to_svg(
            lambda: draw_benchmarks(benchmarks, shown_roles(results["evaluations"])),
            name="benchmarks",
            title="Score of every model on every benchmark",
            description="Whiskers are one standard error. The table at the top has every number.",
        ),
    }


def _thresholds(results: Mapping[str, Any]) -> dict[str, float]:
    """Where `select` cut by expected value: its threshold."""
    (selection,) = results["lineage"]["selection"]
    config = selection["config"]
    if config.get("educational_value_by") != "expected_value":
        return {}
    return {"educational_value": float(config["min_educational_value"])}
