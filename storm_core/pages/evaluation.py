"""What `evaluate` measured: every benchmark with its score and standard error."""

from typing import Any

from storm_core.pages.output_files import OutputFiles
from storm_core.pages.parts import Part, part_of


def scores_part(outputs: OutputFiles) -> Part:
    """The table of benchmarks."""
    results = outputs.json("evaluation", "results.json")
    benchmarks = results["benchmarks"]
    mean = sum(benchmark["value"] for benchmark in benchmarks) / len(benchmarks)
    rows = [row for benchmark in benchmarks for row in _rows(benchmark)]
    return part_of("evaluation.html.jinja", {**results, "rows": rows, "mean": mean})


def _rows(benchmark: dict[str, Any]) -> list[dict[str, Any]]:
    """The benchmark's score, and below it what was measured besides."""
    others = benchmark.get("others", {})
    return [
        {**benchmark, "main": True},
        *({**score, "main": False, "title": "", "metric": name, "samples": None} for name, score in others.items()),
    ]
