import re
from typing import Any

import pytest
import yaml

from storm_core.artifacts import open_directory
from storm_core.errors import InputError
from storm_core.judge_audit.rewordings import parse_rewordings
from storm_core.judging.wording.rubrics import load_framing, load_rubric, load_rubrics, parse_rubric

GOOD = {"name": "taste", "question": "Which?", "labels": ["a", "b"], "values": [1, 2]}


def parse(**changes):
    return parse_rubric(yaml.safe_dump({**GOOD, **changes}).encode(), "taste", "")


def test_rubrics_of_the_recipe_have_its_labels():
    value, difficulty = load_rubric("educational_value"), load_rubric("difficulty")
    assert value.labels == ("1", "2", "3", "4", "5")
    assert value.values == (1, 2, 3, 4, 5)
    assert difficulty.labels == ("easy", "medium", "hard")
    assert difficulty.value_of("hard") == 3
    assert len(value.sha256) == 64 and value.sha256 != difficulty.sha256


def test_framing_names_every_role():
    assert set(load_framing().roles) == {"system", "user", "assistant", "tool"}


def test_good_rubric_is_read():
    assert parse().labels == ("a", "b")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "smell"}, "names itself 'smell'"),
        ({"labels": ["a"]}, "two or more different labels"),
        ({"labels": ["a", "a"]}, "two or more different labels"),
        ({"labels": [1, 2]}, "each a string"),
        ({"values": [1, 2, 3]}, "2 labels but 3 values"),
        ({"threshold": 3}, "exactly the fields"),
        ({"question": " "}, "needs a question"),
        ({"question": ["Which?"]}, "needs a question"),
        ({"labels": "ab"}, "each a string, got 'ab'"),
        ({"values": "12"}, "no list of values"),
        ({"values": [1, "2"]}, "needs a finite number"),
        ({"values": [1, float("nan")]}, "needs a finite number"),
        ({"values": [1, True]}, "needs a finite number"),
        ({"values": [1, 10**400]}, "that number is too long"),
        ({"labels": ["a", "\ud800"]}, r"taste\.yaml is not YAML: .* invalid Unicode"),
        ({"question": "Which \ud800?"}, r"taste\.yaml is not YAML: .* invalid Unicode"),
    ],
)
def test_rubric_that_cannot_work_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        parse(**changes)


FRAMING: dict[str, Any] = {
    "head": "Look:\n",
    "turn": "{role}> {content}\n",
    "roles": {"system": "S", "user": "U", "assistant": "A", "tool": "T"},
    "cut": "(cut)",
    "tail": "\n",
}
VALUE = {"name": "educational_value", "question": "Good?", "labels": ["no", "yes"], "values": [0, 10]}


def given(directory, **files):
    for name, fields in files.items():
        content = fields if isinstance(fields, bytes) else yaml.safe_dump(fields).encode()
        (directory / f"{name}.yaml").write_bytes(content)
    return open_directory(directory)


def test_files_of_a_user_stand_in_for_those_of_the_same_name(tmp_path):
    own = load_rubrics(given(tmp_path, educational_value=VALUE))
    assert own.educational_value.labels == ("no", "yes")
    assert own.educational_value.value_of("yes") == 10
    assert own.difficulty == load_rubrics().difficulty
    assert own.framing == load_rubrics().framing
    assert own.educational_value.sha256 != load_rubrics().educational_value.sha256


def test_framing_of_a_user_shows_in_the_hash_of_every_rubric(tmp_path):
    own = load_rubrics(given(tmp_path, framing=FRAMING))
    assert own.framing.head == "Look:\n"
    assert own.difficulty.labels == load_rubrics().difficulty.labels
    assert own.difficulty.sha256 != load_rubrics().difficulty.sha256


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"turn": "{content}"}, "turn must show {role} and {content} once each"),
        ({"turn": "{role} {content} {content}"}, "once each"),
        ({"turn": "{role} {content.__class__}"}, "once each"),
        ({"turn": "{role"}, "turn is no template"),
        ({"turn": "{role!x}: {content}"}, "once each"),
        ({"turn": "{role}: {content:d}"}, "once each"),
        ({"turn": "{role}: {content:{x}}"}, "once each"),
        ({"turn": "{role:>999999999}: {content}"}, "once each"),
        ({"turn": "{role}: {content:.3}"}, "once each"),
        ({"tail": "\ud800"}, "framing.yaml is not YAML"),
        ({"roles": {**FRAMING["roles"], "user": "\udfff"}}, "framing.yaml is not YAML"),
        ({"roles": {"user": "U"}}, "it must name system, user, assistant, tool"),
        ({"roles": ["user"]}, "it must name"),
        ({"head": 3}, "head must be a string"),
        ({"roles": {**FRAMING["roles"], "user": None}}, "user must be a string"),
        ({"foot": ""}, "exactly the fields"),
    ],
)
def test_framing_that_cannot_work_is_refused(tmp_path, changes, message):
    with pytest.raises(InputError, match=re.escape(message)):
        load_rubrics(given(tmp_path, framing={**FRAMING, **changes}))


def test_a_file_that_is_no_rubric_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match=r"holds education\.yaml, not one of educational_value\.yaml"):
        load_rubrics(given(tmp_path, education=VALUE))


@pytest.mark.parametrize(
    "content", [b"a: [", b"\xff\xfe\x00", b"- 1", b"", b"a: &a [*a", b"[" * 20_000, b"a: 0x" + b"f" * 9_000]
)
def test_a_file_that_is_not_yaml_of_fields_is_refused_by_name(tmp_path, content):
    with pytest.raises(InputError, match=r"difficulty\.yaml"):
        load_rubrics(given(tmp_path, difficulty=content))


def test_a_file_of_megabytes_is_refused_unread(tmp_path):
    with pytest.raises(InputError, match="is it a rubric"):
        load_rubrics(given(tmp_path, difficulty=b"#" * (2 << 20)))


@pytest.mark.parametrize("listing", ["{labels!x}", "{labels:d}", "{labels:{x}}", "{labels:>999999999}", "{labels:.3}"])
def test_listing_that_does_more_than_show_the_labels_is_refused(listing):
    content = yaml.safe_dump({"name": "taste", "paraphrases": ["A?", "B?"], "listing": listing}).encode()
    with pytest.raises(InputError, match=r"listing must show \{labels\} once"):
        parse_rewordings(content, parse())
