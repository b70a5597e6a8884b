"""`storm prepare`: read every source, drop what must not be learned from, and deal the rest out to shards."""

import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from storm_core.errors import InputError
from storm_core.heartbeat import activity
from storm_core.progress import progress, report
from storm_core.records import read_columns
from storm_core.sources.config import PrepareConfig
from storm_core.sources.deduplication.decisions import REASONS, Decisions, decide
from storm_core.sources.deduplication.signatures import Signatures
from storm_core.sources.deduplication.spool_index import SpoolIndex
from storm_core.sources.ingest import Ingest
from storm_core.sources.ledger import Ledger
from storm_core.sources.references import parse_sources
from storm_core.sources.shards import write_shards
from storm_core.stage import Inputs, Results


def run(config: PrepareConfig, inputs: Inputs, outputs: Mapping[str, Path]) -> Results:
    """Write the shards, `rejected.parquet`, `overlaps.parquet` and `ledger.json`.

    Two passes: the first spools each example to disk and remembers a few bytes of it, the second writes what stays.

    Raises:
        InputError: a source is misspelt, missing or malformed beyond `max_rejected_fraction`, or no example is left.
    """
    directory = outputs["examples"]
    sources = parse_sources(config.sources)
    with tempfile.TemporaryDirectory(prefix=".", dir=directory) as place, Ledger(directory) as ledger:
        scratch = Path(place)
        spool = scratch / "spool.parquet"
        ingest = Ingest(config, inputs["data"], ledger)
        ingest.read_held_out()
        spool_index = SpoolIndex(_signatures(config, scratch))
        ingest.spool(sources, spool, spool_index)
        with activity("find duplicates"):
            decisions = decide(
                spool_index,
                threshold=config.near_duplicate_threshold,
                limit=config.max_examples_per_source,
                seed=config.seed,
            )
        kept = _account(spool, decisions, spool_index, [source.name for source in sources], ledger)
        for source, account in ledger.accounts().items():
            report(f"{source}: {_describe({source: account})}")
        if not kept:
            raise InputError(f"no example is left to learn from: {_describe(ledger.accounts())}")
        with activity("write shards"):
            shard_indices, written = write_shards(
                directory, spool, decisions.kept, spool_index.ids, config.shards, scratch
            )
        ledger.write(written, ingest.held_out_account, ingest.origins)
    return Results(metrics=_metrics(ledger), values={"shard_indices": shard_indices})


def _signatures(config: PrepareConfig, scratch: Path) -> Signatures | None:
    if not config.drop_near_duplicates:
        return None
    return Signatures(scratch / "signatures", config.near_duplicate_permutations, config.near_duplicate_threshold)


def _account(
    spool: Path, decisions: Decisions, spool_index: SpoolIndex, names: list[str], ledger: Ledger
) -> Counter[str]:
    """Enter into the ledger what the decisions dropped; returns how many of each source stay."""
    kept: Counter[str] = Counter()
    sources_M = spool_index.sources
    rows = progress(_spooled(spool), total=len(sources_M), description="account", unit="examples")
    for row, (identity, source, meta) in enumerate(rows):
        reason = REASONS[decisions.reasons[row]]
        if not reason:
            kept[source] += 1
            continue
        place = json.loads(meta)["place"]
        ledger.drop(source, place, reason)
        original = int(decisions.originals[row])
        if original >= 0:
            ledger.overlap(
                identity,
                source,
                place,
                reason,
                matched=names[sources_M[original]],
                matched_place=spool_index.identity(original),
                evidence="the same text" if reason == "duplicate" else f"similarity {decisions.similarities[row]:.3f}",
            )
    return kept


def _spooled(spool: Path) -> Iterator[tuple[str, str, str]]:
    """ID, source and meta of each example in the spool."""
    for batch in read_columns(spool, ("id", "source", "meta")):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _describe(accounts: Mapping[str, Mapping[str, Any]]) -> str:
    """Rows read and dropped in words, summed over sources."""
    read = sum(account["read"] for account in accounts.values())
    reasons = ", ".join(f"{count} {reason}" for reason, count in _dropped(accounts).items())
    return f"{read} rows read, {reasons or 'none'} dropped"


def _dropped(accounts: Mapping[str, Mapping[str, Any]]) -> Counter[str]:
    return sum((Counter(account["dropped"]) for account in accounts.values()), Counter[str]())


def _metrics(ledger: Ledger) -> dict[str, float]:
    accounts = ledger.accounts()
    dropped = {f"dropped_{reason}": count for reason, count in sorted(_dropped(accounts).items())}
    read = sum(account["read"] for account in accounts.values())
    return {"read": read, "kept": read - sum(dropped.values()), **dropped}
