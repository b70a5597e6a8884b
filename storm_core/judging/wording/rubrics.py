"""The questions that the judge answers: the recipe's own, or those that a user brings in a directory of their own.

Three files: `educational_value.yaml`, `difficulty.yaml`, and `framing.yaml`, which says what stands around the example.
A user's directory holds one or more of them; each stands in for the file of that name beside this module. Beside the
first two may lie `rewordings/<name>.yaml`, which only an audit asks; see `storm_core.judge_audit.rewordings`.
"""

import hashlib
import importlib.resources
import math
import re
import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from storm_core.artifacts import Artifact
from storm_core.errors import InputError
from storm_core.records import ROLES
from storm_core.verdicts.schema import DIFFICULTY, EDUCATIONAL_VALUE
from storm_core.yaml_documents import read_yaml

_FRAMING = "framing"
REWORDINGS = "rewordings"
_FILE_NAMES = (
    *(f"{name}.yaml" for name in (EDUCATIONAL_VALUE, DIFFICULTY, _FRAMING)),
    *(f"{REWORDINGS}/{name}.yaml" for name in (EDUCATIONAL_VALUE, DIFFICULTY)),
)
# A rubric is a page of text; what is larger is something else.
_MAX_BYTES = 1 << 20


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


@dataclass(frozen=True, kw_only=True)
class Rubrics:
    """All that the judge is asked, in the order in which it is asked."""

    framing: Framing
    educational_value: Rubric
    difficulty: Rubric


def load_rubrics(given: Artifact | None = None) -> Rubrics:
    """The recipe's rubrics, with the files of `given` in the place of those of the same name.

    Raises:
        InputError: `given` holds another file or none of these, or a file that cannot work; names file and field.
    """
    own = read_given(given) if given else {}
    return Rubrics(
        framing=load_framing(own),
        educational_value=load_rubric(EDUCATIONAL_VALUE, own),
        difficulty=load_rubric(DIFFICULTY, own),
    )


def load_rubric(name: str, given: Mapping[str, bytes] | None = None) -> Rubric:
    """The rubric in `<name>.yaml`.

    Args:
        name: of the rubric.
        given: content of the files that stand in for the recipe's own, by file name.

    Raises:
        InputError: the file lacks a field, or its labels and values do not fit each other.
    """
    content = read_rubric_file(f"{name}.yaml", given)
    digest = hashlib.sha256(read_rubric_file(f"{_FRAMING}.yaml", given) + b"\0" + content).hexdigest()
    return parse_rubric(content, name, digest)


def parse_rubric(content: bytes, name: str, sha256: str) -> Rubric:
    """The rubric that the YAML `content` holds.

    Raises:
        InputError: see `load_rubric`.
    """
    fields = parse_fields(content, name, {"name", "question", "labels", "values"})
    labels, values = fields["labels"], fields["values"]
    if fields["name"] != name:
        raise InputError(f"rubric file {name}.yaml names itself {fields['name']!r}; its name must be {name}")
    if not isinstance(fields["question"], str) or not fields["question"].strip():
        raise InputError(f"rubric {name} needs a question, a string, got {fields['question']!r}")
    if not isinstance(labels, list) or len(labels) < 2 or not all(isinstance(label, str) for label in labels):
        raise InputError(f"rubric {name} needs two or more different labels, each a string, got {labels!r}")
    if len(set(labels)) != len(labels):
        raise InputError(f"rubric {name} needs two or more different labels, got {labels!r}")
    if not isinstance(values, list) or len(values) != len(labels):
        count = len(values) if isinstance(values, list) else "no list of"
        raise InputError(f"rubric {name} has {len(labels)} labels but {count} values; give each label one")
    for label, value in zip(labels, values, strict=True):
        if not _is_number(value):
            got = f"{value!r:.40}"
            raise InputError(f"rubric {name} needs a finite number as the value of each label, got {got} for {label!r}")
    return Rubric(
        name=name,
        question=fields["question"],
        labels=tuple(labels),
        values=tuple(float(value) for value in values),
        sha256=sha256,
    )


def load_framing(given: Mapping[str, bytes] | None = None) -> Framing:
    """The framing in `framing.yaml`; `given` as in `load_rubric`.

    Raises:
        InputError: the file lacks a field or the name of a role, or its turn does not show role and content.
    """
    fields = parse_fields(
        read_rubric_file(f"{_FRAMING}.yaml", given), _FRAMING, {"head", "turn", "roles", "cut", "tail"}
    )
    roles = fields["roles"]
    if not isinstance(roles, dict) or set(roles) != set(ROLES):
        raise InputError(f"framing names the roles {roles!r}; it must name {', '.join(ROLES)}")
    texts = {**{name: fields[name] for name in ("head", "turn", "cut", "tail")}, **roles}
    for name, text in texts.items():
        if not isinstance(text, str):
            raise InputError(f"framing.yaml: {name} must be a string, got {text!r}")
    _check_turn(fields["turn"])
    return Framing(**fields)


def read_given(given: Artifact) -> dict[str, bytes]:
    """Content of the files in a user's directory, by file name.

    Raises:
        InputError: it holds a file that is not one of the rubrics'.
    """
    entries = given.manifest.files
    for entry in entries:
        if entry.path not in _FILE_NAMES:
            raise InputError(f"rubrics {given.path} holds {entry.path}, not one of {', '.join(_FILE_NAMES)}")
        if entry.size > _MAX_BYTES:
            raise InputError(f"rubrics {given.path} holds {entry.path} of {entry.size} bytes; is it a rubric?")
    return {entry.path: (given.path / entry.path).read_bytes() for entry in entries}


def read_rubric_file(file_name: str, given: Mapping[str, bytes] | None) -> bytes:
    """Content of the user's file of this name, or else of the recipe's own."""
    if given and file_name in given:
        return given[file_name]
    return (importlib.resources.files(__package__) / "rubrics" / file_name).read_bytes()


def parse_fields(content: bytes, name: str, wanted: set[str]) -> dict[str, Any]:
    """The fields of the YAML file `name`, which must be those wanted.

    Raises:
        InputError: it is not YAML, or has other fields.
    """
    fields: Any = read_yaml(content, f"{name}.yaml")
    if not isinstance(fields, dict) or set(fields) != wanted:
        raise InputError(f"{name}.yaml must hold exactly the fields {', '.join(sorted(wanted))}")
    return fields


def template_fields(template: str) -> list[str]:
    """What stands in each pair of braces: a bare name, or, as in `role!r` and `content:.3`, more than a name.

    Raises:
        ValueError: the braces do not match.
    """
    return [
        f"{name}{'!' if conversion else ''}{conversion or ''}{':' if form else ''}{form}"
        for _, name, form, conversion in string.Formatter().parse(template)
        if name is not None
    ]


def label_in_name(label: str, place: int) -> str:
    """The label as it may stand in the name of a metric: itself where MLflow takes it, else its place, from 1."""
    return label if re.fullmatch(r"[\w-]{1,50}", label) else f"number_{place + 1}"


def _check_turn(turn: str) -> None:
    try:
        shown = template_fields(turn)
    except ValueError as error:
        raise InputError(f"framing.yaml: turn is no template: {error}; write {{role}}: {{content}}") from error
    if sorted(shown) != ["content", "role"]:
        raise InputError(f"framing.yaml: turn must show {{role}} and {{content}} once each, got {turn!r}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
