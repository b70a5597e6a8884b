"""Measurements of an unfinished evaluation's finished benchmarks, as parts, for its next attempt."""

import dataclasses

from storm_core.evaluation.kept_replies import keep_json, read_json
from storm_core.evaluation.scores import Measurement, Sample, Score
from storm_core.stores.parts import Parts


def keep_measurement(parts: Parts, benchmark: str, measurement: Measurement) -> None:
    """Store the measurement as the part `<benchmark>/measurement.json`."""
    keep_json(parts, _name(benchmark), dataclasses.asdict(measurement))


def read_measurement(parts: Parts, benchmark: str) -> Measurement | None:
    """The measurement that `keep_measurement` stored, or None."""
    stored = read_json(parts, _name(benchmark))
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
