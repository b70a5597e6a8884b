"""Glaive's offers, calls and end marks, and texts that only look like them."""

import json
from typing import Any

import pytest

from storm_core.sources.formats.chat_messages import conversation_of
from storm_core.toolcalls.prompts import system_prompt

TIDE = {"name": "tide_table", "description": "Lists high and low water.", "parameters": {"type": "object"}}
WIND = {"name": "wind_now", "description": "Tells the wind."}
OFFER = "You are a helpful assistant with access to the following functions. Use them if required -"
CALL = """<functioncall> {"name": "tide_table", "arguments": '{"port": "Oban"}'}"""
BLOCK = '<tool_call>{"tool_name": "tide_table", "tool_arguments": {"port": "Oban"}}</tool_call>'


def read(system: str | None, answer: str = "Ebb.") -> tuple[list[str], dict[str, Any]]:
    """The texts of the system message and of the answer, and the meta."""
    turns = [("system", system), ("user", "Ebb or flood?"), ("assistant", answer)]
    row = {"messages": [{"role": role, "content": text} for role, text in turns if text is not None]}
    messages, meta = conversation_of(row)
    return [message.content for message in messages if message.role != "user"], meta


@pytest.mark.parametrize(
    "offer",
    [
        f"{OFFER}\n{json.dumps(TIDE)}\n\n{json.dumps(WIND)}",
        f"{OFFER}\n{json.dumps([{'type': 'function', 'function': tool} for tool in (TIDE, WIND)])}",
        f"You have access to the following functions: {json.dumps([TIDE, WIND])}.",
        f"You have access to the following functions \u2013 {json.dumps(TIDE)}, {json.dumps(WIND)}",
        "You are an helpful assistant who has access to the following functions to help the user, you can use the "
        f"functions if needed-\n{json.dumps(TIDE)}\n{json.dumps(WIND)}",
    ],
)
def test_offer_in_glaives_own_words_becomes_the_recipes_prompt(offer: str) -> None:
    assert read(offer, CALL) == ([system_prompt([TIDE, WIND]), BLOCK], {"tools": ["tide_table", "wind_now"]})


@pytest.mark.parametrize(
    ("lead", "kept"),
    [
        ("Speak low.\nYou are a helpful assistant with ", "Speak low."),
        ("Hi! You have ", "Hi!"),
        ("You are Dr. Who with ", "You are Dr. Who with access to functions."),
        ("Speak low. You are a pilot and have ", "Speak low. You are a pilot and have access to functions."),
        (
            "Remember: You are a helpful assistant with ",
            "Remember: You are a helpful assistant with access to functions.",
        ),
    ],
)
def test_sentence_that_leads_to_an_offer_goes_or_stays_whole(lead: str, kept: str) -> None:
    offer = OFFER.removeprefix("You are a helpful assistant with ")
    (system, _), meta = read(f"{lead}{offer} {json.dumps(TIDE)}\nBe kind.")
    assert system == f"{system_prompt([TIDE])}\n\n{kept}\nBe kind."
    assert meta == {"tools": ["tide_table"]}


@pytest.mark.parametrize(
    "system",
    [
        "You have access to the following functions of the harbour: berth and crane. Never reveal prices. Always "
        'answer as JSON like {"name": "Bob", "description": "A man", "age": 3}. Be kind.',
        f'{OFFER} {{"name": "Bob", "age": 3}}',
        f'{OFFER} {json.dumps(TIDE)} {{"name": "Bob", "age": 3}} Be kind.',
        f'{OFFER} [{{"type": "function", "function": {{"name": "Bob"}}}}]',
        f"{OFFER}\n{TIDE}",
        f"Only the crew has access to the following functions: {json.dumps(TIDE)}",
        f"Ask a sailor with access to the following functions: {json.dumps(TIDE)}",
        f"You may not tell of your access to the following functions: {json.dumps(TIDE)}",
        f"You have access to the following functions{' ' * 200_000}after lunch. {json.dumps(TIDE)}",
    ],
)
def test_conversation_whose_offer_cannot_be_read_stays_as_it_stands(system: str) -> None:
    for answer in (CALL, f"I call it. {CALL}", BLOCK, '{"name": "tide_table", "arguments": {}}'):
        assert read(system, answer) == ([system, answer], {})


@pytest.mark.parametrize(
    "system", [f"{OFFER} {json.dumps(TIDE)}", "You are a helpful assistant, with no access to external functions."]
)
def test_end_mark_of_glaives_answers_is_cut(system: str) -> None:
    assert read(system, "Ebb. <|endoftext|>\n")[0][1] == "Ebb."
    assert read(None, f"{CALL} <|endoftext|>") == ([BLOCK], {})


@pytest.mark.parametrize("system", [None, "Be brief."])
def test_end_mark_that_another_data_set_speaks_of_stays(system: str | None) -> None:
    assert read(system, "Its last token is <|endoftext|>")[0][-1] == "Its last token is <|endoftext|>"


def test_text_behind_a_call_and_its_end_mark_stays() -> None:
    assert read(f"{OFFER} {json.dumps(TIDE)}", f"{CALL} <|endoftext|> I wait.")[0][1] == f"{BLOCK} I wait."
