"""Measurements of an unfinished evaluation's finished benchmarks, as partial results, for its next attempt."""

import dataclasses

from storm_core.evaluation.reply_cache import keep_json, read_json
from storm_core.evaluation.scores import Measurement, Sample, Score
from storm_core.stores.partial_results import PartialResults


def keep_measurement(partial_results: PartialResults, benchmark: str, measurement: Measurement) -> None:
    """Store the measurement as the part `<benchmark>/measurement.json`."""
    keep_json(partial_results, _name(benchmark), dataclasses.asdict(measurement))


def read_measurement(partial_results: PartialResults, benchmark: str) -> Measurement | None:
    """The measurement that `keep_measurement` stored, or None."""
    stored = read_json(partial_results, _name(benchmark))
    if stored is None:
        return None
    return Measurement(
        metric=stored["metric"],
        score=Score(**stored["score"]),
        samples=tuple(Sample(**sample) for sample in stored["samples"]),
        others={name: Score(**score) for name, score in stored["others"].items()},
    )


def _name(benchmark: str) -> str:
    return f"{benchmark}/measurement.json"
