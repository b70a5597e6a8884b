"""When artifacts of a store were last made or taken: notes `used/<digest>/<verb>` in its ledger.

The files of an artifact tell when it was first published. A run that makes it again, or finds its result remembered,
leaves the files as they are and a note here, which keeps garbage collection away until the run's next stage has it.
"""

from collections.abc import Iterable

from storm_core.stores.ledger import Ledger

_PREFIX = "used"


def note_uses(ledger: Ledger, digests: Iterable[str], verb: str) -> None:
    """Note that `verb` hands these artifacts on, before it looks for them: whoever removes one looks here last."""
    for digest in digests:
        ledger.put(f"{_PREFIX}/{digest}/{verb}", {})


def last_uses(ledger: Ledger) -> dict[str, float]:
    """Seconds since the last note of each artifact, by digest."""
    uses: dict[str, float] = {}
    for key, age in ledger.ages(_PREFIX).items():
        digest = key.split("/")[1]
        uses[digest] = min(age, uses.get(digest, age))
    return uses


def last_use(ledger: Ledger, digest: str) -> float | None:
    """Seconds since the last note of this artifact; None where there is none."""
    return min(ledger.ages(f"{_PREFIX}/{digest}").values(), default=None)


def forget_uses(ledger: Ledger, digest: str) -> None:
    """Remove the notes of an artifact."""
    for key in ledger.ages(f"{_PREFIX}/{digest}"):
        ledger.delete(key)
