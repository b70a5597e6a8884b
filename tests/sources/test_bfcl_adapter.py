import json
from pathlib import Path
from typing import Any

import pytest

from storm_core.artifacts import Artifact, open_directory, seal
from storm_core.errors import InputError
from storm_core.sources.files.rows import UNFIT, Rejected, Row
from storm_core.sources.formats.bfcl import read
from storm_core.toolcalls.calls import parse_tool_calls

BFCL = Path(__file__).parents[2] / ".data/bfcl_eval/data"
FILE = "BFCL_v4_simple_python.json"


@pytest.fixture(scope="module")
def bfcl() -> Artifact:
    return open_directory(BFCL)


def row_by_id(bfcl: Artifact, category: str, identity: str) -> Row:
    return next(row for row in rows_of(bfcl, category) if row.meta["bfcl_id"] == identity)


def rows_of(bfcl: Artifact, category: str) -> list[Row]:
    return [row for row in read(bfcl, f".#{category}") if isinstance(row, Row)]


def write_entry(directory: Path, argument: dict[str, Any], allowed: list[Any]) -> None:
    """Write two questions whose possible answers are these values of `a`, and 1 of `b`."""
    functions = [
        {"name": name, "parameters": {"properties": {name: schema}, "required": [name]}}
        for name, schema in (("a", argument), ("b", {"type": "integer"}))
    ]
    question = {"question": [[{"role": "user", "content": "Which?"}]], "function": functions}
    answers = [
        {"id": "bad", "ground_truth": [{"a": {"a": allowed}}]},
        {"id": "good", "ground_truth": [{"b": {"b": [1]}}]},
    ]
    (directory / "possible_answer").mkdir(parents=True)
    write_lines(directory / FILE, [{"id": identity, **question} for identity in ("bad", "good")])
    write_lines(directory / "possible_answer" / FILE, answers)


def write_lines(file: Path, rows: list[Any]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_example_has_the_recipes_prompt_and_a_reply_in_its_format(bfcl: Artifact) -> None:
    row = row_by_id(bfcl, "live_simple", "live_simple_0-0-0")
    system, question, reply = row.messages
    assert system.content.startswith("You are a function calling AI model.")
    assert '<tools>[{"name": "get_user_info"' in system.content
    assert question.content.startswith("Can you retrieve the details for the user with the ID 7890")
    assert reply.content.startswith('<tool_call>{"tool_name": "get_user_info", "tool_arguments": {"user_id": 7890')
    assert row.meta == {"bfcl_id": "live_simple_0-0-0", "category": "live_simple", "tools": ["get_user_info"]}


def test_several_calls_are_blocks_on_lines_of_their_own(bfcl: Artifact) -> None:
    for row in rows_of(bfcl, "live_parallel"):
        reply = row.messages[-1].content
        assert len(parse_tool_calls(reply)) == len(reply.split("\n")) >= 2


def test_questions_own_system_message_follows_the_prompt(bfcl: Artifact) -> None:
    rows = [row for row in rows_of(bfcl, "live_simple") if row.messages[0].content.endswith("2024/02/21")]
    assert len(rows) == 3
    for row in rows:
        assert [message.role for message in row.messages] == ["system", "user", "assistant"]
        assert "format:\n<tool_call>" in row.messages[0].content
        assert row.messages[0].content.endswith("\n\nPlease act like the current date is 2024/02/21")


def test_entries_that_no_call_can_answer_are_marked_unfit(bfcl: Artifact) -> None:
    unfit = {row.meta["bfcl_id"]: row.meta[UNFIT] for row in rows_of(bfcl, "live_simple") if UNFIT in row.meta}
    assert unfit == dict.fromkeys(("live_simple_106-63-0", "live_simple_112-68-0"), "no_right_answer")


@pytest.mark.parametrize(
    ("path", "reason"),
    [(".", "names no categories"), (".#", "names no categories"), (".#simple", "not a BFCL category")],
)
def test_path_without_known_categories_is_refused(bfcl: Artifact, path: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        list(read(bfcl, path))


@pytest.mark.parametrize(
    ("argument", "allowed"),
    [
        ({"type": "dict"}, [{"k": 5}]),
        ({"type": "dict"}, ["", {"k": ["x"]}, {"k": None}]),
        ({"type": "array", "items": {"type": "dict"}}, [[{"k": ["x"]}, {"k": 5}]]),
        ({"type": "tuple", "items": {"type": "dict"}}, [[{"k": {}}]]),
    ],
)
def test_answer_with_a_key_without_a_list_of_values_spoils_only_its_row(
    tmp_path: Path, argument: dict[str, Any], allowed: list[Any]
) -> None:
    write_entry(tmp_path / "bfcl", argument, allowed)
    bad, good = read(open_directory(tmp_path), "bfcl#simple_python")
    reason = "ground_truth does not list the allowed values of each key of the argument 'a'"
    assert bad == Rejected(place=f"bfcl/{FILE}:bad", reason=reason)
    assert isinstance(good, Row)
    assert good.messages[-1].content == '<tool_call>{"tool_name": "b", "tool_arguments": {"b": 1}}</tool_call>'


@pytest.mark.parametrize(
    ("argument", "allowed"),
    [
        ({"type": "dict"}, [{"k": [5]}, "all"]),
        ({"type": "string"}, [{"k": 5}]),
        ({"type": "array", "items": {"type": "array"}}, [[[{"k": 5}]]]),
        ({"type": "array", "items": {"type": "dict"}}, [[{"k": [5]}, 3], "all"]),
    ],
)
def test_dictionary_that_lists_its_values_or_is_compared_as_it_stands_is_read(
    tmp_path: Path, argument: dict[str, Any], allowed: list[Any]
) -> None:
    write_entry(tmp_path, argument, allowed)
    assert all(isinstance(row, Row) for row in read(open_directory(tmp_path), ".#simple_python"))


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    """A data artifact that lists `chat.jsonl` alone, beside files and links that were put there later."""
    directory = tmp_path / "data"
    directory.mkdir()
    write_lines(directory / "chat.jsonl", [{"messages": []}])
    seal(directory, "data", producer={}, inputs={}, metrics={})
    write_entry(directory / "beside", {"type": "integer"}, [1])
    write_entry(tmp_path / "outside", {"type": "integer"}, [1])
    (directory / "linked").symlink_to(tmp_path / "outside")
    (directory / "possible_answer").mkdir()
    for name in (FILE, f"possible_answer/{FILE}"):
        (directory / name).symlink_to(tmp_path / "outside" / name)
    return directory


@pytest.mark.parametrize("directory", ["beside", "linked", "."])
def test_file_that_the_manifest_does_not_list_is_not_opened(sealed: Path, directory: str) -> None:
    name = FILE if directory == "." else f"{directory}/{FILE}"
    with pytest.raises(InputError, match=rf"no {name} in the data artifact .*, or its manifest does not list it; name"):
        list(read(open_directory(sealed), f"{directory}#simple_python"))


def test_answers_that_the_manifest_does_not_list_are_not_opened(tmp_path: Path) -> None:
    write_entry(tmp_path, {"type": "integer"}, [1])
    answers = tmp_path / "possible_answer" / FILE
    content = answers.read_bytes()
    answers.unlink()
    seal(tmp_path, "data", producer={}, inputs={}, metrics={})
    answers.write_bytes(content)
    with pytest.raises(InputError, match=rf"no possible_answer/{FILE} in the data artifact"):
        list(read(open_directory(tmp_path), ".#simple_python"))
