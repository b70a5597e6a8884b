"""Calls between the marks of other models, and Qwen3-Coder's list of functions: read whole, or rejected."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storm_core.errors import InputError
from storm_core.sources.formats.chat_messages import conversation_of
from storm_core.toolcalls.calls import ToolCall, parse_tool_calls
from storm_core.toolcalls.prompts import system_prompt
from tests.sources.test_calls_of_data_sets import TOOLS, answer_to, as_json, in_python, in_tags

NAME = "weather.get"
ARGUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "city": st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12),
        "days": st.integers(-99, 99),
        "exact": st.booleans(),
        "more": st.dictionaries(st.text("ab", max_size=2), st.integers(0, 9), max_size=2),
    },
)
CALLS = st.lists(st.builds(ToolCall, st.just(NAME), ARGUMENTS), min_size=1, max_size=3)


def objects(calls: list[ToolCall]) -> list[dict[str, Any]]:
    return [{"name": call.name, "arguments": call.arguments} for call in calls]


def deepseek(call: ToolCall, *, is_old: bool) -> str:
    begin, sep, end = (
        "<\uff5ctool\u2581call\u2581begin\uff5c>",
        "<\uff5ctool\u2581sep\uff5c>",
        "<\uff5ctool\u2581call\u2581end\uff5c>",
    )
    said = json.dumps(call.arguments)
    return (
        f"{begin}function{sep}{call.name}\n```json\n{said}\n```{end}"
        if is_old
        else f"{begin}{call.name}{sep}{said}{end}"
    )


def in_section(calls: list[ToolCall], *, is_old: bool) -> str:
    body = "\n".join(deepseek(call, is_old=is_old) for call in calls)
    return f"<\uff5ctool\u2581calls\u2581begin\uff5c>{body}<\uff5ctool\u2581calls\u2581end\uff5c>"


def kimi(calls: list[ToolCall]) -> str:
    body = "".join(
        f"<|tool_call_begin|>functions.{call.name}:{place}<|tool_call_argument_begin|>{json.dumps(call.arguments)}"
        "<|tool_call_end|>"
        for place, call in enumerate(calls)
    )
    return f"<|tool_calls_section_begin|>{body}<|tool_calls_section_end|>"


def wrapped(calls: list[ToolCall]) -> str:
    return json.dumps([{"type": "function", "function": one} for one in objects(calls)])


def of_cohere(calls: list[ToolCall]) -> str:
    return json.dumps([{"tool_name": call.name, "parameters": call.arguments} for call in calls])


def of_internlm(calls: list[ToolCall]) -> str:
    return "\n".join(f"<|action_start|><|plugin|>{json.dumps(one)}<|action_end|>" for one in objects(calls))


SPELLINGS: dict[str, Callable[[list[ToolCall]], str]] = {
    "Granite": lambda calls: f"<|tool_call|>{json.dumps(objects(calls))}",
    "Phi": lambda calls: f"<|tool_call|>{wrapped(calls)}<|/tool_call|>",
    "Nemotron": lambda calls: f"<TOOLCALL>{json.dumps(objects(calls))}</TOOLCALL>",
    "InternLM": of_internlm,
    "LFM": lambda calls: f"<|tool_call_start|>{in_python(calls, repr)}<|tool_call_end|>",
    "Cohere": lambda calls: f"<|START_ACTION|>{of_cohere(calls)}<|END_ACTION|>",
    "DeepSeek V3": lambda calls: in_section(calls, is_old=True),
    "DeepSeek V3.1": lambda calls: in_section(calls, is_old=False),
    "Kimi": kimi,
    "a block of code": lambda calls: f"```json\n{json.dumps(objects(calls))}\n```",
    "Gemma": lambda calls: f"```tool_code\n{in_python(calls, as_json)}\n```",
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@settings(deadline=None, max_examples=25)
@given(calls=CALLS)
def test_calls_between_marks_of_other_models_become_the_recipes(spelling: str, calls: list[ToolCall]) -> None:
    assert parse_tool_calls(answer_to(SPELLINGS[spelling](calls), tools=TOOLS)) == calls


@pytest.mark.parametrize("spelling", [name for name in SPELLINGS if name not in ("a block of code", "Gemma")])
def test_text_before_the_mark_stays_and_behind_the_calls_there_may_be_none(spelling: str) -> None:
    calls = [ToolCall(NAME, {"city": "Peel"})]
    spelled = SPELLINGS[spelling](calls)
    assert answer_to(f"Let me see.{spelled}", tools=TOOLS).startswith("Let me see.\n<tool_call>")
    with pytest.raises(InputError):
        answer_to(f"{spelled} And then?", tools=TOOLS)


@pytest.mark.parametrize(
    "answer",
    [
        '<tool_call>\n{"name": "weather.get", "arguments": {}}',
        'Thought: hm.\nAction: weather.get\nAction Input: {"city": "Peel"}',
        '<|channel|>commentary to=functions.weather.get <|message|>{"city": "Peel"}<|call|>',
        '<invoke name="weather.get"><parameter name="city">Peel</parameter></invoke>',
        "<tool_call>weather.get\n<arg_key>city</arg_key>\n<arg_value>Peel</arg_value>\n</tool_call>",
        "<|tool_call|>not a call",
        "<|tool_calls_section_begin|>none<|tool_calls_section_end|>",
    ],
)
def test_a_mark_of_a_call_that_cannot_be_read_is_rejected(answer: str) -> None:
    with pytest.raises(InputError):
        answer_to(answer, tools=TOOLS)
    # Without functions on offer it is a text about a format.
    if "<tool_call>" not in answer:
        assert answer_to(answer) == answer


def in_tags_of_qwen(tools: list[dict[str, Any]]) -> str:
    """The list as Qwen3-Coder's template writes it: what it has no tag for is JSON, or the text of a value."""

    def rest(value: dict[str, Any], handled: tuple[str, ...]) -> str:
        return "".join(
            f"\n<{key}>{json.dumps(one) if isinstance(one, dict | list) else one}</{key}>"
            for key, one in value.items()
            if key not in handled
        )

    def one_of(tool: dict[str, Any]) -> str:
        parameters = tool["parameters"]
        described = "".join(
            f"\n<parameter>\n<name>{name}</name>"
            + (f"\n<type>{schema['type']}</type>" if "type" in schema else "")
            + (f"\n<description>{schema['description']}</description>" if "description" in schema else "")
            + rest(schema, ("name", "type", "description"))
            + "\n</parameter>"
            for name, schema in parameters["properties"].items()
        )
        head = f"\n<function>\n<name>{tool['name']}</name>\n<description>{tool['description']}</description>"
        tail = rest(parameters, ("type", "properties"))
        return f"{head}\n<parameters>{described}{tail}\n</parameters>\n</function>"

    return "<tools>" + "".join(map(one_of, tools)) + "\n</tools>"


# The template writes the type and the description first.
ORDER = ("type", "description", "enum", "items", "minimum")
SCHEMAS = st.fixed_dictionaries(
    {"type": st.sampled_from(["string", "integer", "array", "object", "boolean"])},
    optional={
        "description": st.text("abc: .,", min_size=1, max_size=9).map(str.strip),
        "enum": st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=3),
        "items": st.just({"type": "string"}),
        "minimum": st.integers(0, 9),
    },
).map(lambda schema: {key: schema[key] for key in ORDER if key in schema})
LISTED = st.lists(
    st.builds(
        lambda name, properties, required: {
            "name": name,
            "description": "Does it.",
            "parameters": {"type": "object", "properties": properties, "required": required},
        },
        st.text("abc_", min_size=1, max_size=6),
        st.dictionaries(st.text("abc_", min_size=1, max_size=4), SCHEMAS, max_size=3),
        st.lists(st.text("abc", min_size=1, max_size=3), max_size=2),
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda tool: tool["name"],
)
EXAMPLE = (
    "<tool_call>\n<function=example_function_name>\n<parameter=example_parameter_1>\nvalue_1\n</parameter>\n</function>\n"
    "</tool_call>"
)
REMINDER = "<IMPORTANT>\nReminder:\n- Function calls MUST follow the specified format\n</IMPORTANT>"


def coders_prompt(tools: list[dict[str, Any]], own: str) -> str:
    return (
        f"{own}\n\n# Tools\n\nYou have access to the following functions:\n\n{in_tags_of_qwen(tools)}\n\n"
        f"If you choose to call a function ONLY reply in the following format with NO suffix:\n\n{EXAMPLE}\n\n"
        f"{REMINDER}"
    )


@settings(deadline=None, max_examples=50)
@given(tools=LISTED)
def test_qwen3_coders_list_of_functions_becomes_the_recipes(tools: list[dict[str, Any]]) -> None:
    given_tools = copy.deepcopy(tools)
    call = ToolCall(tools[0]["name"], {})
    turns = [
        {"role": "system", "content": coders_prompt(tools, "Be brief.")},
        {"role": "user", "content": "Well?"},
        {"role": "assistant", "content": in_tags(call)},
    ]
    messages, meta = conversation_of({"messages": turns})
    assert messages[0].content == f"{system_prompt(given_tools)}\n\nBe brief."
    assert meta["tools"] == [tool["name"] for tool in tools]
    assert parse_tool_calls(messages[-1].content) == [call]


def test_functions_that_a_message_brings_are_on_offer() -> None:
    asked = {"role": "user", "content": "Well?"}
    called = {"role": "assistant", "content": None, "function_calls": 'weather.get(city="Peel")\nweather.get(days=2)'}
    for key, value in (
        ("functions", json.dumps(TOOLS)),
        ("tools", TOOLS),
        ("tools", [json.dumps(one) for one in TOOLS]),
    ):
        messages, meta = conversation_of(
            {"messages": [{"role": "system", "content": "Be brief.", key: value}, asked, called]}
        )
        assert messages[0].content == f"{system_prompt(TOOLS)}\n\nBe brief."
        assert meta["tools"] == [tool["name"] for tool in TOOLS]
        assert parse_tool_calls(messages[-1].content) == [ToolCall(NAME, {"city": "Peel"}), ToolCall(NAME, {"days": 2})]
