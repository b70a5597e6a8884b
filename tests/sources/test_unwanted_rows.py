"""Rows of which something would be lost, or learned that is not wanted: rejected, or counted apart."""

import random
from typing import Any

import pytest

from storm_core.errors import InputError
from storm_core.records import check_messages
from storm_core.sources.files.rows import UNFIT
from storm_core.sources.formats.chat_messages import conversation_of
from storm_core.toolcalls.calls import parse_tool_calls


def said(row: dict[str, Any]) -> list[str]:
    """The texts of the turns, as they are read."""
    return [message.content for message in conversation_of(row)[0]]


ASKED = {"role": "user", "content": "When is high tide at Peel?"}
ANSWERED = {"role": "assistant", "content": "At six."}
PAIR = {"prompt": "When is high tide?", "completion": "At six."}


@pytest.mark.parametrize("row", [PAIR, {"prompt": [ASKED], "completion": [ANSWERED]}])
@pytest.mark.parametrize("label", [True, False, None, 0, 1, "no"])
def test_an_answer_that_kto_does_not_want_is_unfit(row: dict[str, Any], label: Any) -> None:
    _, meta = conversation_of({**row, "label": label})
    assert meta.get(UNFIT) == ("unwanted_answer" if label is False else None)


@pytest.mark.parametrize("column", ["messages", "conversation"])
def test_llama_factorys_tag_says_the_same_of_any_row(column: str) -> None:
    assert conversation_of({column: [ASKED, ANSWERED], "kto_tag": False})[1][UNFIT] == "unwanted_answer"
    assert UNFIT not in conversation_of({column: [ASKED, ANSWERED], "kto_tag": True})[1]
    # A label beside a whole conversation is about anything.
    assert UNFIT not in conversation_of({column: [ASKED, ANSWERED], "label": False})[1]


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning", "thinking", "thought", "thoughts"])
def test_a_thought_apart_from_the_answer_is_rejected_by_name(key: str) -> None:
    with pytest.raises(InputError, match=f"messages.1. has a thought apart from its text, under '{key}'"):
        conversation_of({"messages": [ASKED, {**ANSWERED, key: "Tides come twice."}]})
    nothings: list[Any] = [None, "", [], True, 1]
    for nothing in nothings:
        assert said({"messages": [ASKED, {**ANSWERED, key: nothing}]})[-1] == "At six."


@pytest.mark.parametrize("column", ["image", "images", "video", "videos", "audio", "audios"])
def test_a_row_with_a_picture_is_rejected_and_one_without_is_read(column: str) -> None:
    with pytest.raises(InputError, match=f"has something under '{column}', and text alone is read"):
        conversation_of({"messages": [ASKED, ANSWERED], column: ["a.png"]})
    assert said({"messages": [ASKED, ANSWERED], column: []})[-1] == "At six."


@pytest.mark.parametrize("text", ["\u200b", " \u200b\u2060 ", "\ufeff"])
def test_a_turn_that_shows_nothing_is_empty(text: str) -> None:
    messages, _ = conversation_of({"messages": [{**ASKED, "content": text}, ANSWERED]})
    with pytest.raises(InputError, match=r"message 0 \(user\) is empty"):
        check_messages(messages)


@pytest.mark.parametrize("seed", range(10))
def test_names_of_speakers_are_known_in_any_case(seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311 (no secret)
    asking, answering = draw.choice(["user", "human", "prompter"]), draw.choice(["assistant", "gpt", "bard", "model"])
    cased = [draw.choice([str.upper, str.title, str.lower])(name) for name in (asking, answering)]
    messages, _ = conversation_of(
        {"messages": [{"role": f" {cased[0]}", "content": "Q"}, {"role": f"{cased[1]} ", "content": "A"}]}
    )
    assert [message.role for message in messages] == ["user", "assistant"]


def test_wildchats_lmsyss_and_xtuners_conversations_are_read() -> None:
    turns = [{**ASKED, "toxic": False}, {**ANSWERED, "redacted": False}]
    assert said({"conversation": turns, "language": "English"}) == ["When is high tide at Peel?", "At six."]
    pairs = [{"system": "Be brief.", "input": "Q1", "output": "A1"}, {"input": "Q2", "output": "A2"}]
    assert said({"conversation": pairs}) == ["Be brief.", "Q1", "A1", "Q2", "A2"]


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        ({"input": "Q", "output": "A"}, ["Q", "A"]),
        ({"instruction": "", "input": "Q", "output": "A"}, ["Q", "A"]),
        ({"instruction": None, "input": "Q", "output": "A"}, ["Q", "A"]),
        ({"conversations": [{"from": "human", "value": "Q"}], "chosen": {"from": "gpt", "value": "A"}}, ["Q", "A"]),
        ({"prompt": "Q", "chosen": {"role": "assistant", "content": "A"}}, ["Q", "A"]),
    ],
)
def test_questions_and_answers_in_other_columns_are_read(row: dict[str, Any], wanted: list[str]) -> None:
    assert said(row) == wanted


@pytest.mark.parametrize("answers", [{"text": ["a"], "answer_start": [1]}, [{"answer": "a", "rank": 1.0}]])
def test_answers_that_are_no_calls_are_not_taken_for_xlams(answers: Any) -> None:
    with pytest.raises(InputError, match=r"no messages: .*; the row has question, answers"):
        conversation_of({"question": "Q", "answers": answers})


def test_calls_that_are_a_turn_each_are_made_together() -> None:
    calls = [
        {"role": "tool_call", "content": f'{{"name": "get_tide", "arguments": {{"day": {day}}}}}'} for day in (1, 2)
    ]
    results = [{"role": "tool_response", "content": text} for text in ("six", "seven")]
    tools = [{"name": "get_tide", "parameters": {}}]
    messages, _ = conversation_of({"messages": [ASKED, *calls, *results, ANSWERED], "tools": tools})
    assert [message.role for message in messages] == ["system", "user", "assistant", "tool", "tool", "assistant"]
    assert [call.arguments for call in parse_tool_calls(messages[2].content)] == [{"day": 1}, {"day": 2}]


@pytest.mark.parametrize("where", ["messages", "arguments", "tools"])
def test_a_key_that_stands_twice_in_a_column_of_json_is_rejected(where: str) -> None:
    twice = '[{"role": "user", "content": "Q", "content": "R"}]'
    row: dict[str, Any] = {"messages": twice if where == "messages" else [ASKED, ANSWERED]}
    if where == "tools":
        row["tools"] = '[{"name": "f", "name": "g"}]'
    if where == "arguments":
        called = {"function": {"name": "f", "arguments": '{"a": 1, "a": 2}'}}
        row["messages"] = [ASKED, {"role": "assistant", "tool_calls": [called]}]
    with pytest.raises(InputError, match=r"has the key '\w+' twice in one object"):
        conversation_of(row)
