"""`storm prepare`: read every source, drop what must not be learned from, and deal the rest out to shards."""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from storm_core.artifacts import Artifact
from storm_core.errors import InputError
from storm_core.progress import report
from storm_core.records import Example, read_examples, write_examples
from storm_core.sources.config import PrepareConfig
from storm_core.sources.held_out import HeldOut
from storm_core.sources.ledger import Ledger
from storm_core.sources.reading import read_source
from storm_core.sources.references import Source, parse_reference, parse_sources
from storm_core.sources.rows import UNFIT, Rejected
from storm_core.sources.sampling import assign_shards, sample_ids
from storm_core.sources.shards import write_shards
from storm_core.stage import Inputs, Results


def run(config: PrepareConfig, inputs: Inputs, outputs: Mapping[str, Path]) -> Results:
    """Write the shards, `rejected.parquet` and `ledger.json`.

    Raises:
        InputError: a source is misspelt, missing or malformed beyond `max_rejected_fraction`, or no example is left.
    """
    data, directory = inputs["data"], outputs["examples"]
    sources = parse_sources(config.sources)
    held_out, held_out_account = _read_held_out(config, data)
    with Ledger(directory) as ledger, tempfile.TemporaryDirectory(prefix=".", dir=directory) as scratch:
        spool = Path(scratch) / "spool.parquet"
        write_examples(spool, _sift(config, sources, data, held_out, ledger))
        kept = _sample(config, spool, ledger)
        if not kept:
            raise InputError(f"no example is left to learn from: {_describe(ledger.accounts())}")
        shard_indices = write_shards(directory, spool, assign_shards(kept, config.shards), Path(scratch))
        ledger.write(held_out_account)
    return Results(metrics=_metrics(ledger), values={"shard_indices": shard_indices})


def _read_held_out(config: PrepareConfig, data: Artifact) -> tuple[HeldOut, dict[str, Any]]:
    """What the evaluation data holds, and its account by entry; malformed rows are limited as in the sources."""
    held_out = HeldOut()
    account = {}
    for text in config.held_out:
        items = list(read_source(parse_reference(text, text), data, config.max_rejected_fraction))
        examples = [item for item in items if isinstance(item, Example)]
        for example in examples:
            held_out.add(example)
        account[text] = {"read": len(items), "malformed": len(items) - len(examples)}
    return held_out, account


def _sift(
    config: PrepareConfig, sources: list[Source], data: Artifact, held_out: HeldOut, ledger: Ledger
) -> Iterator[Example]:
    """The examples of all sources that are neither malformed, nor seen before, nor held out, nor too long."""
    seen: set[str] = set()
    for source in sources:
        for item in read_source(source, data, config.max_rejected_fraction):
            ledger.count_read(source.name)
            if isinstance(item, Rejected):
                ledger.drop(source.name, item.place, "malformed", item.reason)
                continue
            reason = _reason_to_drop(item, seen, held_out, config.max_characters)
            seen.add(item.id)
            if reason is None:
                yield item
            else:
                ledger.drop(source.name, item.meta["place"], reason)
        report(f"{source.name}: {_describe({source.name: ledger.accounts()[source.name]})}")


def _reason_to_drop(example: Example, seen: set[str], held_out: HeldOut, max_characters: int) -> str | None:
    if UNFIT in example.meta:
        return str(example.meta[UNFIT])
    if example.id in seen:
        return "duplicate"
    if reason := held_out.overlap(example):
        return reason
    characters = sum(len(message.content) for message in example.messages)
    return "too_long" if characters > max_characters else None


def _sample(config: PrepareConfig, spool: Path, ledger: Ledger) -> set[str]:
    """Content IDs of the examples to keep, no more than `max_examples_per_source` of each source."""
    ids: dict[str, list[str]] = {}
    table = pq.read_table(spool, columns=["id", "source"])
    for identity, source in zip(table["id"].to_pylist(), table["source"].to_pylist(), strict=True):
        ids.setdefault(source, []).append(identity)
    kept: set[str] = set()
    for listed in ids.values():
        kept |= sample_ids(listed, config.max_examples_per_source, config.seed)
    if len(kept) < table.num_rows:
        for example in read_examples(spool):
            if example.id not in kept:
                ledger.drop(example.source, example.meta["place"], "over_source_limit")
    return kept


def _describe(accounts: Mapping[str, Mapping[str, Any]]) -> str:
    """Rows read and dropped in words, summed over sources."""
    read = sum(account["read"] for account in accounts.values())
    totals = _dropped(accounts)
    reasons = ", ".join(f"{count} {reason}" for reason, count in totals.items())
    return f"{read} rows read, {reasons or 'none'} dropped"


def _dropped(accounts: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    totals: dict[str, int] = {}
    for account in accounts.values():
        for reason, count in account["dropped"].items():
            totals[reason] = totals.get(reason, 0) + count
    return totals


def _metrics(ledger: Ledger) -> dict[str, float]:
    accounts = ledger.accounts()
    dropped = {f"dropped_{reason}": count for reason, count in sorted(_dropped(accounts).items())}
    read = sum(account["read"] for account in accounts.values())
    return {"read": read, "kept": read - sum(dropped.values()), **dropped}
