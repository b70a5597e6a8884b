"""The evaluation data to hold out: what `held_out` lists, and every set of the suites in `held_out_suites`."""

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from storm_core.artifacts import Artifact
from storm_core.sources.references import Source, parse_reference

if TYPE_CHECKING:
    from storm_core.evaluation.suite import Benchmark


def evaluation_sources(held_out: Iterable[str], suites: Iterable[str], data: Artifact) -> list[Source]:
    """Where to read the evaluation data. A set goes by its reference, or by the names of its suite and benchmark.

    Raises:
        InputError: a misspelt reference, or a suite that does not exist, is not listed in `data`, or cannot be read.
    """
    sources = [parse_reference(text, text) for text in held_out]
    for name in suites:
        from storm_core.evaluation.suite import load_suite

        suite = load_suite(name, data)
        sources.extend(_source(f"{suite.name}:{benchmark.name}", benchmark) for benchmark in suite.benchmarks)
    return [replace(source, is_evaluation=True) for source in sources]


def _source(name: str, benchmark: "Benchmark") -> Source:
    """All of the benchmark's questions, also where the suite draws only some of them."""
    from storm_core.evaluation.suite import FunctionCalling

    if isinstance(benchmark, FunctionCalling):
        return Source(name=name, adapter="bfcl", path=f"{benchmark.path}#{'+'.join(benchmark.categories)}")
    if benchmark.questions:
        return Source(name=name, adapter="chatterbot", path=benchmark.questions.path)
    return Source(name=name, adapter="lm_eval", path=benchmark.task)
