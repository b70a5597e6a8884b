"""The gate's written rules: `rules.yaml`, read and checked."""

import hashlib
from dataclasses import dataclass, fields
from importlib.resources import files
from typing import Any

from storm_core.promotion.config import GateConfig
from storm_core.promotion.evaluations import ROLES
from storm_core.yaml_documents import read_yaml

_SCORES = ("mean", "each_benchmark")
_REQUIREMENTS = ("above", "not_below")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One rule; `rules.yaml` says what the fields mean."""

    name: str
    text: str
    candidate: str
    reference: str
    scores: str
    require: str
    tolerance: str | None = None


@dataclass(frozen=True, kw_only=True)
class RuleBook:
    """The rules in order, and the SHA-256, in hex, of the file they come from."""

    rules: tuple[Rule, ...]
    sha256: str


def load_rules() -> RuleBook:
    """The rules that come with the package."""
    return parse_rules(files(__package__).joinpath("rules.yaml").read_bytes())


def parse_rules(content: bytes) -> RuleBook:
    """The rules that a file of the form of `rules.yaml` holds.

    Raises:
        ValueError: a rule names an unknown model, kind of score, requirement or option.
    """
    rules = tuple(_rule(raw) for raw in read_yaml(content, "rules.yaml")["rules"])
    return RuleBook(rules=rules, sha256=hashlib.sha256(content).hexdigest())


def _rule(raw: dict[str, Any]) -> Rule:
    rule = Rule(**raw)
    options = [field.name for field in fields(GateConfig)]
    for value, allowed in (
        (rule.candidate, ROLES),
        (rule.reference, ROLES),
        (rule.scores, _SCORES),
        (rule.require, _REQUIREMENTS),
        (rule.tolerance, (None, *options)),
    ):
        if value not in allowed:
            raise ValueError(f"rule {rule.name}: {value!r} is not one of {', '.join(map(str, allowed))}")
    return rule
