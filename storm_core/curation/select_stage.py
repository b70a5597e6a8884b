"""`storm select`: read examples and verdicts, apply the thresholds, split, and account for every row."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from storm_core.artifacts import Artifact
from storm_core.curation.config import SelectConfig
from storm_core.curation.funnel import build_funnel, check_ledger, describe_drops, parse_ledger
from storm_core.curation.selection import drop_reasons, gather, possible_reasons, split
from storm_core.curation.verdicts import FILE_NAME, Verdict, read_verdicts
from storm_core.errors import InputError
from storm_core.records import Example, read_examples, write_examples
from storm_core.stage import Inputs, Results


def run(config: SelectConfig, inputs: Inputs, outputs: Mapping[str, Path]) -> Results:
    """Write `train.parquet`, `validation.parquet` and `funnel.json`.

    Raises:
        InputError: examples and verdicts do not fit each other, or nothing is left.
    """
    examples = inputs["examples"]
    sources = _sources(examples)
    ledger = parse_ledger(examples.file("ledger.json").read_text(encoding="utf-8"))
    check_ledger(ledger, Counter(sources.values()))

    reasons = drop_reasons(gather(sources, _verdicts(inputs.many("verdicts"))), config)
    kept = {id: sources[id] for id, reason in reasons.items() if reason is None}
    train, validation = split(kept, config.validation_fraction, config.seed)
    funnel = build_funnel(
        ledger,
        dropped=[(sources[id], reason) for id, reason in reasons.items() if reason is not None],
        train=[sources[id] for id in train],
        validation=[sources[id] for id in validation],
        reasons=possible_reasons(config),
    )
    if not kept:
        raise InputError(_nothing_left(funnel["total"], config))
    _write(outputs["selection"], examples, {"train": train, "validation": validation}, funnel)
    return Results(metrics=_metrics(funnel["total"]))


def _sources(examples: Artifact) -> dict[str, str]:
    """Source of every example, by ID, in the order of the shards."""
    sources: dict[str, str] = {}
    for example in _all_examples(examples):
        if example.id in sources:
            raise InputError(f"the example {example.id} is in the shards of {examples.path} twice; prepare them again")
        sources[example.id] = example.source
    return sources


def _all_examples(examples: Artifact) -> Iterator[Example]:
    shards = sorted(entry.path for entry in examples.manifest.files if Path(entry.path).match("shard-*.parquet"))
    if not shards:
        raise InputError(f"no shard-*.parquet in {examples.path}; give what prepare wrote")
    for shard in shards:
        yield from read_examples(examples.file(shard))


def _verdicts(artifacts: Iterable[Artifact]) -> Iterator[Verdict]:
    for artifact in artifacts:
        yield from read_verdicts(artifact.file(FILE_NAME))


def _write(directory: Path, examples: Artifact, split_ids: Mapping[str, list[str]], funnel: Mapping[str, Any]) -> None:
    wanted = {id for ids in split_ids.values() for id in ids}
    kept = {example.id: example for example in _all_examples(examples) if example.id in wanted}
    for name, ids in split_ids.items():
        write_examples(directory / f"{name}.parquet", (kept[id] for id in ids))
    # Not sorted: the order of the reasons is the order of the recipe.
    (directory / "funnel.json").write_text(json.dumps(funnel, indent=2) + "\n", encoding="utf-8")


def _nothing_left(total: Mapping[str, Any], config: SelectConfig) -> str:
    return (
        f"no example is left of {total['read']} read; dropped: {describe_drops(total)}; thresholds: "
        f"min_educational_value {config.min_educational_value} by {config.educational_value_by}, difficulties "
        f"{', '.join(config.difficulties) or 'none'}"
    )


def _metrics(total: Mapping[str, Any]) -> dict[str, float]:
    kept = total["train"] + total["validation"]
    metrics = {"read": total["read"], "kept": kept, "kept_fraction": kept / total["read"]}
    metrics.update({f"dropped_{reason}": count for reason, count in total["dropped"].items()})
    return {**metrics, "train": total["train"], "validation": total["validation"]}
