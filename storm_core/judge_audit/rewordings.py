"""The judge's questions in other words: an audit asks them to see whether the answers stay the same."""

import hashlib
from dataclasses import dataclass, replace

from storm_core.artifacts import Artifact
from storm_core.errors import InputError
from storm_core.judging.wording.rubrics import (
    REWORDINGS,
    Rubric,
    Rubrics,
    parse_fields,
    read_given,
    read_rubric_file,
    template_fields,
)
from storm_core.verdicts.schema import DIFFICULTY, EDUCATIONAL_VALUE


@dataclass(frozen=True, kw_only=True)
class Rewordings:
    """One question, asked otherwise. The labels and what they count are the same throughout.

    Attributes:
        paraphrases: the same question in other words.
        forward: a wording that lists the labels in the order of the rubric.
        reverse: the same wording with the labels listed from the last to the first.
        sha256: hash, in hex, of the file.
    """

    paraphrases: tuple[Rubric, ...]
    forward: Rubric
    reverse: Rubric
    sha256: str

    @property
    def rubrics(self) -> tuple[Rubric, ...]:
        """All of them."""
        return (*self.paraphrases, self.forward, self.reverse)


def load_rewordings(rubrics: Rubrics, given: Artifact | None = None) -> dict[str, Rewordings]:
    """The rewordings of each rubric, by its name.

    A user's own rubric has those that lie beside it, if any: the recipe's would ask for something else.

    Args:
        rubrics: what is asked, as `load_rubrics(given)` returns it.
        given: the user's directory.

    Raises:
        InputError: a file cannot work; names file and field.
    """
    own = read_given(given) if given else {}
    found = {}
    for name, rubric in ((EDUCATIONAL_VALUE, rubrics.educational_value), (DIFFICULTY, rubrics.difficulty)):
        file_name = f"{REWORDINGS}/{name}.yaml"
        if file_name in own or f"{name}.yaml" not in own:
            found[name] = parse_rewordings(read_rubric_file(file_name, own), rubric)
    return found


def parse_rewordings(content: bytes, rubric: Rubric) -> Rewordings:
    """The rewordings of `rubric` that the YAML `content` holds.

    Raises:
        InputError: see `load_rewordings`.
    """
    where = f"{REWORDINGS}/{rubric.name}"
    fields = parse_fields(content, where, {"name", "paraphrases", "listing"})
    paraphrases, listing = fields["paraphrases"], fields["listing"]
    if fields["name"] != rubric.name:
        raise InputError(f"{where}.yaml names itself {fields['name']!r}; its name must be {rubric.name}")
    if not isinstance(paraphrases, list) or len(paraphrases) < 2 or not all(map(_is_text, paraphrases)):
        raise InputError(f"{where}.yaml needs two or more paraphrases, each a string, got {paraphrases!r}")
    _check_listing(where, listing)
    return Rewordings(
        paraphrases=tuple(replace(rubric, question=paraphrase) for paraphrase in paraphrases),
        forward=replace(rubric, question=listing.format(labels=_listed(rubric.labels))),
        reverse=replace(rubric, question=listing.format(labels=_listed(rubric.labels[::-1]))),
        sha256=hashlib.sha256(content).hexdigest(),
    )


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _check_listing(where: str, listing: object) -> None:
    try:
        shown = template_fields(str(listing))
    except ValueError as error:
        raise InputError(f"{where}.yaml: listing is no template: {error}; write {{labels}} where they go") from error
    if not isinstance(listing, str) or shown != ["labels"]:
        raise InputError(f"{where}.yaml: listing must show {{labels}} once, got {listing!r}")


def _listed(labels: tuple[str, ...]) -> str:
    """`1, 2 or 3`."""
    return f"{', '.join(labels[:-1])} or {labels[-1]}"
