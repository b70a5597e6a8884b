"""The funnel: for each source, rows read = rows in train + rows in validation + rows dropped by reason, or an error."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from storm_core.errors import InputError

Ledger = Mapping[str, Mapping[str, Any]]


def parse_ledger(text: str) -> Ledger:
    """What `ledger.json` says of every source: `read`, `kept`, and `dropped` by reason.

    Raises:
        InputError: it is not such a file.
    """
    try:
        sources = json.loads(text)["sources"]
        return {
            source: {
                "read": int(row["read"]),
                "kept": int(row["kept"]),
                "dropped": {reason: int(count) for reason, count in row["dropped"].items()},
            }
            for source, row in sources.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise InputError(f"ledger.json of the examples is not what prepare writes: {error!r}; prepare again") from error


def check_ledger(ledger: Ledger, kept: Mapping[str, int]) -> None:
    """Compare the ledger of `prepare` with itself and with the examples that are there.

    Args:
        ledger: see `parse_ledger`.
        kept: how many examples of each source the shards hold.

    Raises:
        InputError: names the source whose numbers disagree.
    """
    for source, row in ledger.items():
        dropped = sum(row["dropped"].values())
        if row["read"] != row["kept"] + dropped:
            raise InputError(
                f"ledger.json: {source} read {row['read']} rows, but kept {row['kept']} and dropped {dropped}"
            )
        if row["kept"] != kept.get(source, 0):
            raise InputError(
                f"ledger.json: {source} kept {row['kept']} rows, but the shards hold {kept.get(source, 0)} of it"
            )
    for source in kept:
        if source not in ledger:
            raise InputError(f"the shards hold the source {source}, which ledger.json does not list")


def build_funnel(
    ledger: Ledger,
    dropped: Mapping[tuple[str, str], int],
    train: Mapping[str, int],
    validation: Mapping[str, int],
    reasons: Sequence[str],
) -> dict[str, Any]:
    """The funnel of every source and of all together; see the module's first line.

    Args:
        ledger: see `parse_ledger`.
        dropped: how many examples `select` dropped, by source and reason.
        train: rows of train by source.
        validation: rows of validation by source.
        reasons: those of `select`, in the order in which they apply; they follow those of `prepare`.

    Raises:
        ValueError: the rows do not add up.
    """
    counts = Counter(dropped)
    trained, validated = Counter(train), Counter(validation)
    earlier = list(dict.fromkeys(reason for row in ledger.values() for reason in row["dropped"]))
    columns = list(dict.fromkeys([*earlier, *reasons]))
    sources = {}
    for source, row in ledger.items():
        sources[source] = {
            "read": row["read"],
            "dropped": {name: row["dropped"].get(name, 0) + counts.pop((source, name), 0) for name in columns},
            "train": trained.pop(source, 0),
            "validation": validated.pop(source, 0),
        }
    if counts or trained or validated:
        raise ValueError(f"rows of no known source or reason: {dict(counts)}, {dict(trained)}, {dict(validated)}")
    funnel = {"sources": sources, "total": _total(sources.values(), columns)}
    for source, row in [*sources.items(), ("total", funnel["total"])]:
        _check_row(source, row)
    return funnel


def describe_drops(total: Mapping[str, Any]) -> str:
    """The rows dropped, by reason, in one line."""
    parts = [f"{reason} {count}" for reason, count in total["dropped"].items() if count]
    return ", ".join(parts) or "none"


def _total(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> dict[str, Any]:
    listed = list(rows)
    return {
        "read": sum(row["read"] for row in listed),
        "dropped": {name: sum(row["dropped"][name] for row in listed) for name in columns},
        "train": sum(row["train"] for row in listed),
        "validation": sum(row["validation"] for row in listed),
    }


def _check_row(source: str, row: Mapping[str, Any]) -> None:
    out = row["train"] + row["validation"] + sum(row["dropped"].values())
    if row["read"] != out:
        raise ValueError(f"the funnel of {source} does not add up: {row['read']} rows in, {out} out")
