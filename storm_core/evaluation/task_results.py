"""A measurement from what lm-eval returns of a task or group: its score, and what each question came to."""

import math
from collections.abc import Mapping
from typing import Any

from storm_core.errors import InputError
from storm_core.evaluation.metric_keys import key_of, keys_of_results
from storm_core.evaluation.scores import Measurement, Sample, Score, pooled_mean
from storm_core.evaluation.suite import LmEval


def measurement_of(benchmark: LmEval, results: Mapping[str, Any]) -> Measurement:
    """What lm-eval's `simple_evaluate` returned, as a measurement.

    A group's score is over the questions of all its tasks together, which is how lm-eval weighs these groups.

    Raises:
        InputError: the metric is computed of all questions at once and is no number for each.
    """
    leaves = sorted(results["samples"])
    keys = {leaf: _key(benchmark, results, leaf, benchmark.metric) for leaf in leaves}
    samples = [
        _sample(benchmark.name, leaf, entry, key[0])
        for leaf, key in keys.items()
        for entry in _entries(results, leaf, key[1])
    ]
    return Measurement(
        metric=benchmark.metric,
        score=_score(benchmark, results, leaves, benchmark.metric),
        samples=tuple(samples),
        others={metric: _score(benchmark, results, leaves, metric) for metric in benchmark.also},
    )


def _score(benchmark: LmEval, results: Mapping[str, Any], leaves: list[str], metric: str) -> Score:
    scores = []
    for leaf in leaves:
        found = results["results"][leaf]
        name, filtered = _key(benchmark, results, leaf, metric)
        stderr = found.get(f"{name}_stderr,{filtered}", "N/A")
        value = float(found[f"{name},{filtered}"])
        if not math.isfinite(value):
            raise InputError(
                f"{benchmark.name}: {metric} of {leaf} comes to {value}, by which no models can be compared; evaluate "
                "with dtype float32, or choose another metric"
            )
        spread = float(stderr) if stderr != "N/A" else math.nan
        scores.append(Score(value=value, stderr=spread if math.isfinite(spread) else None))
    return pooled_mean(scores, [results["n-samples"][leaf]["effective"] for leaf in leaves])


def _key(benchmark: LmEval, results: Mapping[str, Any], leaf: str, metric: str) -> tuple[str, str]:
    """The metric and the filter that the suite means."""
    key = key_of(benchmark.name, leaf, metric, keys_of_results(results["results"][leaf]))
    name, _, filtered = key.partition(",")
    return name, filtered


def _entries(results: Mapping[str, Any], leaf: str, filtered: str) -> list[Mapping[str, Any]]:
    """The questions of a task with what one filter left of the replies."""
    entries = [entry for entry in results["samples"][leaf] if entry["filter"] == filtered]
    return sorted(entries, key=lambda entry: int(entry["doc_id"]))


def _sample(benchmark: str, leaf: str, entry: Mapping[str, Any], metric: str) -> Sample:
    value = entry[metric]
    parts = value if isinstance(value, list) and value else [value]
    if not all(isinstance(part, int | float) for part in parts):
        raise InputError(
            f"{benchmark}: the metric {metric!r} of {leaf} is computed of all questions at once and has no number for "
            "each, by which models are compared; choose another, such as acc or exact_match"
        )
    choices = [arguments[1] for arguments in entry["arguments"]]
    chosen = all(isinstance(choice, str) for choice in choices)
    golds = entry["target"] if isinstance(entry["target"], list) else [entry["target"]]
    answers = [choices[int(gold)] if chosen and isinstance(gold, int | float) else gold for gold in golds]
    return Sample(
        id=f"{leaf}-{entry['doc_id']}",
        prompt=entry["arguments"][0][0],
        reply=_ranking(choices, entry["filtered_resps"]) if chosen else str(entry["filtered_resps"][0]),
        score=float(sum(parts) / len(parts)),
        reason=f"the answer is {' or '.join(map(str, answers))}",
    )


def _ranking(choices: list[str], responses: list[tuple[float, bool]]) -> str:
    """The choices with their log-likelihoods in nats, the likeliest first."""
    ranked = sorted(zip(choices, responses, strict=True), key=lambda pair: -pair[1][0])
    return "\n".join(f"{response[0]:.3f} {choice.strip()}" for choice, response in ranked)
