from pathlib import Path

import pytest

from storm_core.artifacts import Artifact, open_directory
from storm_core.errors import InputError
from storm_core.sources.bfcl import read
from storm_core.sources.rows import UNFIT, Row
from storm_core.toolcalls.calls import parse_tool_calls

BFCL = Path(__file__).parents[2] / ".data/bfcl_eval/data"


@pytest.fixture(scope="module")
def bfcl() -> Artifact:
    return open_directory(BFCL)


def row_by_id(bfcl: Artifact, category: str, identity: str) -> Row:
    return next(row for row in read(bfcl, f".#{category}") if row.meta["bfcl_id"] == identity)


def test_example_has_the_recipes_prompt_and_a_reply_in_its_format(bfcl: Artifact) -> None:
    row = row_by_id(bfcl, "live_simple", "live_simple_0-0-0")
    system, question, reply = row.messages
    assert system.content.startswith("You are a function calling AI model.")
    assert '<tools>[{"name": "get_user_info"' in system.content
    assert question.content.startswith("Can you retrieve the details for the user with the ID 7890")
    assert reply.content.startswith('<tool_call>{"tool_name": "get_user_info", "tool_arguments": {"user_id": 7890')
    assert row.meta == {"bfcl_id": "live_simple_0-0-0", "category": "live_simple", "tools": ["get_user_info"]}


def test_several_calls_are_blocks_on_lines_of_their_own(bfcl: Artifact) -> None:
    for row in read(bfcl, ".#live_parallel"):
        reply = row.messages[-1].content
        assert len(parse_tool_calls(reply)) == len(reply.split("\n")) >= 2


def test_questions_own_system_message_follows_the_prompt(bfcl: Artifact) -> None:
    rows = [row for row in read(bfcl, ".#live_simple") if row.messages[0].content.endswith("2024/02/21")]
    assert len(rows) == 3
    for row in rows:
        assert [message.role for message in row.messages] == ["system", "user", "assistant"]
        assert "format:\n<tool_call>" in row.messages[0].content
        assert row.messages[0].content.endswith("\n\nPlease act like the current date is 2024/02/21")


def test_entries_that_no_call_can_answer_are_marked_unfit(bfcl: Artifact) -> None:
    unfit = {row.meta["bfcl_id"]: row.meta[UNFIT] for row in read(bfcl, ".#live_simple") if UNFIT in row.meta}
    assert unfit == dict.fromkeys(("live_simple_106-63-0", "live_simple_112-68-0"), "no_right_answer")


@pytest.mark.parametrize(
    ("path", "reason"),
    [(".", "names no categories"), (".#", "names no categories"), (".#simple", "not a BFCL category")],
)
def test_path_without_known_categories_is_refused(bfcl: Artifact, path: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        list(read(bfcl, path))
