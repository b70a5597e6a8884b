"""Calls as ToolACE and Qwen3-Coder spell them: read as they were meant, or rejected with the reason."""

import json
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storm_core.errors import InputError
from storm_core.records import Message
from storm_core.sources.formats.chat_messages import conversation_of
from storm_core.toolcalls.calls import ToolCall, parse_tool_calls
from storm_core.toolcalls.prompts import system_prompt

TYPES = {"city": "string", "days": "integer", "share": "number", "exact": "boolean", "parts": "array", "more": "dict"}
TOOLS = [
    {"name": name, "description": "One.", "parameters": {"type": "dict", "properties": properties}}
    for name, properties in (
        ("weather.get", {key: {"type": kind} for key, kind in TYPES.items()}),
        ("Market Trends API", {key: {"type": kind} for key, kind in TYPES.items()}),
        ("Trends", {"city": {}}),
    )
]
OFFER = "Here is a list of functions in JSON format that you can invoke:\n"
FORMAT = (
    ". \nShould you decide to return the function call(s). \nPut it in the format of [func1(params_name=params_value, "
    "params_name2=params_value2...), func2(params)]\n\nNO other text MUST be included. \n"
)
SYSTEM = f"You compose functions. Ask for what is missing.\n{OFFER}{json.dumps(TOOLS)}{FORMAT}"

TEXTS = st.one_of(
    st.sampled_from(['Market Trends API(city="x")', "a), weather.get(b", "true", "5", "", "a\nb", "[1]", 'l\'été "é"']),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12),
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "city": TEXTS,
    "days": st.integers(-99, 99),
    "share": st.floats(-9, 9),
    "exact": st.booleans(),
    "parts": st.lists(st.one_of(TEXTS, st.booleans(), st.none()), max_size=3),
    "more": st.dictionaries(st.text("ab", max_size=2), st.one_of(TEXTS, st.integers(0, 9)), max_size=2),
}
ARGUMENTS = st.fixed_dictionaries({}, optional=VALUES)
as_json = partial(json.dumps, ensure_ascii=False)
CALLS = st.lists(
    st.builds(ToolCall, st.sampled_from(["weather.get", "Market Trends API"]), ARGUMENTS), min_size=1, max_size=3
)


def answer_to(answer: str, system: str = "", **columns: Any) -> str:
    """The answer of a row, as it is read."""
    turns = [{"role": "user", "content": "Well?"}, {"role": "assistant", "content": answer}]
    messages, _ = conversation_of({"messages": turns, "system": system, **columns})
    return messages[-1].content


def in_python(calls: list[ToolCall], spell: Any) -> str:
    """The calls as ToolACE writes them."""
    arguments = [", ".join(f"{key}={spell(value)}" for key, value in call.arguments.items()) for call in calls]
    return f"[{', '.join(f'{call.name}({said})' for call, said in zip(calls, arguments, strict=True))}]"


def in_tags(call: ToolCall) -> str:
    """The call as Qwen3-Coder's template writes it."""
    said = "".join(
        f"<parameter={key}>\n{json.dumps(value) if isinstance(value, list | dict) else value}\n</parameter>\n"
        for key, value in call.arguments.items()
    )
    return f"<tool_call>\n<function={call.name}>\n{said}</function>\n</tool_call>"


@settings(deadline=None)
@given(calls=CALLS, spell=st.sampled_from([repr, as_json]))
def test_lists_of_calls_are_read_whatever_their_arguments_say(calls: list[ToolCall], spell: Any) -> None:
    assert parse_tool_calls(answer_to(in_python(calls, spell), SYSTEM)) == calls
    said = answer_to(f"Let me see. {in_python(calls, spell)}", SYSTEM)
    assert said.startswith("Let me see.\n<tool_call>")
    assert parse_tool_calls(said) == calls


@settings(deadline=None)
@given(calls=CALLS)
def test_parameters_in_tags_are_read_by_the_types_of_the_description(calls: list[ToolCall]) -> None:
    said = answer_to("Let me see.\n" + "\n".join(map(in_tags, calls)), tools=TOOLS)
    assert said.startswith("Let me see.\n<tool_call>")
    assert parse_tool_calls(said) == calls


def test_offer_of_functions_becomes_the_recipes_and_all_else_that_the_system_says_stays() -> None:
    turns = [{"from": "user", "value": "Well?"}, {"from": "assistant", "value": "Which city?"}]
    messages, meta = conversation_of({"system": f"{SYSTEM}Be brief.", "conversations": turns})
    said = "You compose functions. Ask for what is missing.\n\nBe brief."
    assert messages[0] == Message(role="system", content=f"{system_prompt(TOOLS)}\n\n{said}")
    assert messages[-1].content == "Which city?"
    assert meta["tools"] == ["weather.get", "Market Trends API", "Trends"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ('[weather.get("Rome")]', "a list of calls cannot be read"),
        ('[Market Trends API(city="Rome"', "a list of calls cannot be read"),
        ("[weather.get(city=Rome)]", "a list of calls cannot be read"),
        ('[weather.get(city="Rome"), other(a=1)]', "calls 'other', which is not among the functions on offer"),
        ("[other(a=1)]", "calls 'other', which is not among the functions on offer"),
        (
            "<tool_call><function=weather.get><parameter=days>soon</parameter></function></tool_call>",
            "'days' is neither",
        ),
        (
            "<tool_call><function=weather.get><parameter=city>Rome</function></tool_call>",
            "other than closed parameters",
        ),
        ("<function=Trends><parameter=city>5</parameter></function>", "the function's description has no type"),
        (
            "<function=weather.get><parameter=city>a<parameter=days>1</parameter></function>",
            "'city' of a call is not closed, or is there twice",
        ),
    ],
)
def test_call_that_cannot_be_read_is_no_prose(answer: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        answer_to(answer, SYSTEM)


def test_calls_without_functions_that_can_be_read_are_rejected() -> None:
    call = in_tags(ToolCall("weather.get", {"city": "Rome"}))
    with pytest.raises(InputError, match="no functions on offer can be read"):
        answer_to(call, "# Tools\n<tools>\n<function>\n<name>weather.get</name>\nA city.</function>\n</tools>")
    with pytest.raises(InputError, match="the offer of functions in JSON format cannot be read"):
        answer_to("[weather.get()]", OFFER + "[{'name': 1}]")


@pytest.mark.parametrize(
    "answer", ["[weather] is what I need.", "print(1)", "Use `[weather.get(city=...)]` for it.", "[1, 2]", "[]"]
)
def test_prose_stays_prose(answer: str) -> None:
    assert answer_to(answer, SYSTEM) == answer
