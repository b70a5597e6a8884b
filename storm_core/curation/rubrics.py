"""The questions that the judge answers, read from the data files beside this module."""

import hashlib
import importlib.resources
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from storm_core.errors import InputError
from storm_core.records import ROLES

EDUCATIONAL_VALUE = "educational_value"
DIFFICULTY = "difficulty"


@dataclass(frozen=True, kw_only=True)
class Rubric:
    """One question with its allowed answers.

    Attributes:
        question: asked after the example.
        labels: the allowed answers, as the judge writes them.
        values: what each label counts in the expected value.
        sha256: hash, in hex, of everything of ours that the judge reads: the framing's file and the rubric's.
    """

    name: str
    question: str
    labels: tuple[str, ...]
    values: tuple[float, ...]
    sha256: str

    def value_of(self, label: str) -> float:
        """What `label` counts."""
        return self.values[self.labels.index(label)]


@dataclass(frozen=True, kw_only=True)
class Framing:
    """What stands around the example: text before it, the form of a turn, role names, mark of a cut, text after it."""

    head: str
    turn: str
    roles: Mapping[str, str]
    cut: str
    tail: str


def load_rubric(name: str) -> Rubric:
    """The rubric in `rubrics/<name>.yaml`.

    Raises:
        InputError: the file lacks a field, or its labels and values do not fit each other.
    """
    content = _read(f"{name}.yaml")
    digest = hashlib.sha256(_read("framing.yaml") + b"\0" + content).hexdigest()
    return parse_rubric(content, name, digest)


def parse_rubric(content: bytes, name: str, sha256: str) -> Rubric:
    """The rubric that the YAML `content` holds.

    Raises:
        InputError: see `load_rubric`.
    """
    fields = _fields(content, name, {"name", "question", "labels", "values"})
    labels, values = fields["labels"], fields["values"]
    if fields["name"] != name:
        raise InputError(f"rubric file {name}.yaml names itself {fields['name']!r}")
    if len(labels) < 2 or len(set(labels)) != len(labels) or not all(isinstance(label, str) for label in labels):
        raise InputError(f"rubric {name} needs two or more different labels, each a string, got {labels!r}")
    if len(values) != len(labels):
        raise InputError(f"rubric {name} has {len(labels)} labels but {len(values)} values")
    return Rubric(
        name=name,
        question=fields["question"],
        labels=tuple(labels),
        values=tuple(float(value) for value in values),
        sha256=sha256,
    )


def load_framing() -> Framing:
    """The framing in `rubrics/framing.yaml`.

    Raises:
        InputError: the file lacks a field or the name of a role.
    """
    fields = _fields(_read("framing.yaml"), "framing", {"head", "turn", "roles", "cut", "tail"})
    if set(fields["roles"]) != set(ROLES):
        raise InputError(f"framing names the roles {sorted(fields['roles'])}; it must name {', '.join(ROLES)}")
    return Framing(**fields)


def _read(file_name: str) -> bytes:
    return (importlib.resources.files("storm_core.curation") / "rubrics" / file_name).read_bytes()


def _fields(content: bytes, name: str, wanted: set[str]) -> dict[str, Any]:
    fields = yaml.safe_load(content)
    if not isinstance(fields, dict) or set(fields) != wanted:
        raise InputError(f"{name}.yaml must hold exactly the fields {', '.join(sorted(wanted))}")
    return fields
