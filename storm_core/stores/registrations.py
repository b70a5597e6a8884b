"""Which models of a store are registered, and where: notes `registered/<digest>/<registry and name>` in its ledger.

A store may serve several registries, of which whoever collects garbage asks one. What the others hold is known from
here.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from storm_core.stores.ledger import Ledger

# Tags of a registered version: digests of the decision about it and of its evaluation.
DECISION_TAGS = ("storm.decision", "storm.evaluation")
_PREFIX = "registered"


@dataclass(frozen=True, kw_only=True)
class Registration:
    """A model that a registry holds.

    Attributes:
        digest: of the model.
        registry: address of the registry, without credentials; see `registry_address`.
        name: of the registered model.
        decided_by: digests of the decision about it and of its evaluation.
    """

    digest: str
    registry: str
    name: str
    decided_by: tuple[str, ...]

    @property
    def key(self) -> str:
        """Where the ledger has it."""
        place = hashlib.sha256(f"{self.registry}\n{self.name}".encode()).hexdigest()[:16]
        return f"{_PREFIX}/{self.digest}/{place}"


def note_registration(ledger: Ledger, registration: Registration) -> None:
    """Note it, in the place of an earlier note about the same model, registry and name."""
    note = {"registry": registration.registry, "name": registration.name, "decided_by": list(registration.decided_by)}
    ledger.put(registration.key, note)


def noted_registrations(ledger: Ledger) -> list[Registration]:
    """All that were noted, sorted."""
    notes = {key: ledger.read(key) for key in sorted(ledger.ages(_PREFIX))}
    return [_parse(key, note) for key, note in notes.items() if note is not None]


def forget_registrations(ledger: Ledger, digest: str) -> None:
    """Remove the notes about a model."""
    for key in ledger.ages(f"{_PREFIX}/{digest}"):
        ledger.delete(key)


def registry_address(uri: str) -> str:
    """The tracking URI by which registries are told apart: without user, password and query, which may hold secrets."""
    scheme, separator, rest = re.split("[?#]", uri)[0].rpartition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[2].lower() if scheme else host}{slash}{path}".rstrip("/")


def _parse(key: str, note: Mapping[str, object]) -> Registration:
    decided_by = note.get("decided_by")
    return Registration(
        digest=key.split("/")[1],
        registry=str(note.get("registry", "")),
        name=str(note.get("name", "")),
        decided_by=tuple(map(str, decided_by)) if isinstance(decided_by, list) else (),
    )
