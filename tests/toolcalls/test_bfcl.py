import json
from pathlib import Path
from typing import Any

import pytest

from storm_core.errors import InputError
from storm_core.records import Message, check_messages
from storm_core.toolcalls.ast_check import check_calls
from storm_core.toolcalls.bfcl import (
    ANSWERED_CATEGORIES,
    CATEGORIES,
    IRRELEVANCE_CATEGORIES,
    BfclEntry,
    prompt_messages,
    read_bfcl,
    reference_calls,
)
from storm_core.toolcalls.calls import ToolCall
from storm_core.toolcalls.prompts import system_prompt

BFCL = Path(__file__).parents[2] / ".data" / "bfcl_eval" / "data"
# No call can be right: the possible answers name an argument that the tool lacks, or a key with no allowed value.
UNANSWERABLE = {
    "live_simple_106-63-0",
    "live_simple_112-68-0",
    "live_multiple_862-181-3",
    "live_multiple_964-207-0",
}
QUESTION: dict[str, Any] = {
    "id": "simple_python_0",
    "question": [[{"role": "user", "content": "How long is the vector?"}]],
    "function": [
        {
            "name": "math.hypot",
            "parameters": {
                "type": "dict",
                "properties": {
                    "x": {"type": "float"},
                    "unit": {"type": "string"},
                    "options": {"type": "dict"},
                    "points": {"type": "array", "items": {"type": "dict"}},
                },
                "required": ["x"],
            },
        }
    ],
}
ANSWER: dict[str, Any] = {
    "id": "simple_python_0",
    "ground_truth": [{"math.hypot": {"x": [3.0, 4.0], "unit": ["", "m"]}}],
}


def write_bfcl(directory: Path, question: object = QUESTION, answer: object = ANSWER) -> Path:
    (directory / "possible_answer").mkdir()
    (directory / "BFCL_v4_simple_python.json").write_text(json.dumps(question) + "\n")
    (directory / "possible_answer" / "BFCL_v4_simple_python.json").write_text(json.dumps(answer) + "\n")
    return directory


def with_type(kind: object, **more: object) -> dict[str, Any]:
    """The question with an argument of another type."""
    parameters = {"type": "dict", "properties": {"x": {"type": kind, **more}}, "required": ["x"]}
    return {**QUESTION, "function": [{"name": "math.hypot", "parameters": parameters}]}


def with_required(required: object) -> dict[str, Any]:
    """The question with other required arguments."""
    (function,) = with_type("float")["function"]
    return {**QUESTION, "function": [{**function, "parameters": {**function["parameters"], "required": required}}]}


def make_entry(allowed: dict[str, Any]) -> BfclEntry:
    return BfclEntry(
        id="simple_python_0",
        category="simple_python",
        messages=(Message(role="user", content="How long is the vector?"),),
        tools=tuple(QUESTION["function"]),
        possible_answers=({"math.hypot": allowed},),
    )


def test_every_category_has_as_many_entries_as_published() -> None:
    assert {name: len(read_bfcl(BFCL, name)) for name in CATEGORIES} == {
        "simple_python": 400,
        "multiple": 200,
        "parallel": 200,
        "parallel_multiple": 200,
        "live_simple": 258,
        "live_multiple": 1053,
        "live_parallel": 16,
        "live_parallel_multiple": 24,
        "irrelevance": 240,
        "live_irrelevance": 884,
    }


def test_reference_calls_pass_the_check_wherever_any_answer_can() -> None:
    entries = [entry for category in ANSWERED_CATEGORIES for entry in read_bfcl(BFCL, category)]
    wrong = {entry.id for entry in entries if not check_calls(entry, reference_calls(entry)).valid}
    assert wrong == UNANSWERABLE


@pytest.mark.parametrize("category", IRRELEVANCE_CATEGORIES)
def test_irrelevant_tools_call_for_no_call(category: str) -> None:
    for entry in read_bfcl(BFCL, category):
        assert reference_calls(entry) == []
        assert check_calls(entry, []).valid
        assert not check_calls(entry, [ToolCall(entry.tools[0]["name"] if entry.tools else "any", {})]).valid


def test_reference_leaves_out_what_may_be_left_out() -> None:
    entry = make_entry(
        {
            "x": ["", 3.0, 4.0],
            "unit": ["m", ""],
            "options": [{"a": [1, 2], "b": ["", "c"]}],
            "points": [[{"a": [1]}, {"a": ["", 2], "b": [3]}]],
        }
    )
    expected = ToolCall("math.hypot", {"x": 3.0, "options": {"a": 1}, "points": [{"a": 1}, {"b": 3}]})
    assert reference_calls(entry) == [expected]
    assert check_calls(entry, [expected]).valid


def test_prompt_puts_the_questions_own_system_message_after_ours() -> None:
    entry = make_entry({"x": [3.0]})
    prompt = system_prompt(entry.tools, guidelines=True)
    system, user = prompt_messages(entry, guidelines=True)
    assert (system.role, system.content) == ("system", prompt)
    assert user == entry.messages[0]

    live = next(e for e in read_bfcl(BFCL, "live_simple") if e.messages[0].role == "system")
    system, *rest = prompt_messages(live, guidelines=False)
    assert system.content == f"{system_prompt(live.tools)}\n\n{live.messages[0].content}"
    assert tuple(rest) == live.messages[1:]


def test_prompts_of_all_questions_with_an_answer_are_conversations() -> None:
    for category in ANSWERED_CATEGORIES:
        for entry in read_bfcl(BFCL, category):
            check_messages([*prompt_messages(entry, guidelines=True), Message(role="assistant", content="[]")])


def test_entry_is_read_as_the_file_has_it(tmp_path: Path) -> None:
    (entry,) = read_bfcl(write_bfcl(tmp_path), "simple_python")
    assert entry == BfclEntry(
        id="simple_python_0",
        category="simple_python",
        messages=(Message(role="user", content="How long is the vector?"),),
        tools=tuple(QUESTION["function"]),
        possible_answers=tuple(ANSWER["ground_truth"]),
    )


def test_rows_end_at_line_feeds_alone(tmp_path: Path) -> None:
    question = {**QUESTION, "question": [[{"role": "user", "content": "one\u2028two"}]]}
    write_bfcl(tmp_path)
    (tmp_path / "BFCL_v4_simple_python.json").write_text(json.dumps(question, ensure_ascii=False), encoding="utf-8")
    (entry,) = read_bfcl(tmp_path, "simple_python")
    assert entry.messages[0].content == "one\u2028two"


def test_unknown_category_is_refused() -> None:
    with pytest.raises(InputError, match="'simple_java' is not a BFCL category; use one of simple_python"):
        read_bfcl(BFCL, "simple_java")


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no file .*BFCL_v4_irrelevance\.json"):
        read_bfcl(tmp_path, "irrelevance")


@pytest.mark.parametrize(
    ("question", "answer", "message"),
    [
        ([], ANSWER, r"BFCL_v4_simple_python\.json:1 is not a JSON object"),
        ({**QUESTION, "id": 3}, ANSWER, ":1 is not an entry"),
        ({**QUESTION, "question": []}, ANSWER, "_0: not an entry"),
        ({**QUESTION, "question": [[{"role": "user", "content": None}]]}, ANSWER, "_0: not an entry"),
        ({**QUESTION, "function": [{"name": ["math.hypot"]}]}, ANSWER, "_0: not an entry"),
        (QUESTION, {**ANSWER, "id": ["simple_python_0"]}, "possible_answer/.*:1 is not an entry"),
        ({**QUESTION, "question": QUESTION["question"] * 2}, ANSWER, "a question of one turn"),
        ({**QUESTION, "function": {}}, ANSWER, "_0: not an entry"),
        (QUESTION, {**ANSWER, "id": "simple_python_1"}, "simple_python_0: no possible answer"),
        (QUESTION, {**ANSWER, "ground_truth": []}, "ground_truth is not of the form"),
        (QUESTION, {**ANSWER, "ground_truth": [{"math.hypot": {"x": 3.0}}]}, "ground_truth is not of the form"),
        (QUESTION, {**ANSWER, "ground_truth": [{"other": {"x": [3.0]}}]}, "no function 'other'"),
        ({**QUESTION, "function": [{"name": "math.hypot"}]}, ANSWER, "no function 'math.hypot' with parameters"),
        (with_type(["float"]), ANSWER, "no function 'math.hypot' with parameters"),
        (with_type("array", items=None), ANSWER, "no function 'math.hypot' with parameters"),
        (with_type("array", items={"type": []}), ANSWER, "no function 'math.hypot' with parameters"),
        (with_required([["x"]]), ANSWER, "no function 'math.hypot' with parameters"),
        (
            {**QUESTION, "function": [{"name": "math.hypot"}, *QUESTION["function"]]},
            ANSWER,
            "no function 'math.hypot' with parameters",
        ),
    ],
)
def test_malformed_row_is_refused_with_its_place(
    tmp_path: Path, question: object, answer: object, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read_bfcl(write_bfcl(tmp_path, question, answer), "simple_python")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{'id'", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b'{"id": "\xe9t\xe9"}', "is not UTF-8: byte 0xe9 at 8"),
    ],
)
def test_line_that_is_not_json_is_refused_with_its_place(tmp_path: Path, line: bytes, reason: str) -> None:
    write_bfcl(tmp_path)
    (tmp_path / "BFCL_v4_simple_python.json").write_bytes(json.dumps(QUESTION).encode() + b"\r\n\r\n" + line + b"\n")
    with pytest.raises(InputError, match=rf"BFCL_v4_simple_python\.json:3 {reason}"):
        read_bfcl(tmp_path, "simple_python")


@pytest.mark.parametrize(
    ("calls", "error"),
    [
        ([], "0 calls instead of 1"),
        ([ToolCall("hypot", {"x": 3.0})], "function 'hypot' instead of 'math.hypot'"),
        ([ToolCall("math.hypot", {})], "lacks the required argument 'x'"),
        ([ToolCall("math.hypot", {"x": 3.0, "y": 1})], "unexpected argument 'y'"),
        ([ToolCall("math.hypot", {"x": "3"})], "x = '3', expected one of"),
    ],
)
def test_verdict_says_why_an_answer_is_wrong(calls: list[ToolCall], error: str) -> None:
    verdict = check_calls(make_entry({"x": [3.0]}), calls)
    assert not verdict.valid
    assert error in verdict.error
    assert "\n" not in verdict.error


@pytest.mark.parametrize("which", ["", "possible_answer/"])
def test_an_id_that_stands_twice_is_refused(tmp_path: Path, which: str) -> None:
    (tmp_path / "possible_answer").mkdir()
    for name in ("", "possible_answer/"):
        source = (BFCL / f"{name}BFCL_v4_simple_python.json").read_text(encoding="utf-8").splitlines()[:3]
        lines = [*source, source[1]] if name == which else source
        (tmp_path / f"{name}BFCL_v4_simple_python.json").write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(InputError, match="has 2 entries with the id 'simple_python_1'; leave all but one out"):
        read_bfcl(tmp_path, "simple_python")
