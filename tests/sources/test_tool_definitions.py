"""Functions that the system message offers, and what else it says."""

import json
from typing import Any

import pytest

from storm_core.sources.formats.chat_messages import conversation_of
from storm_core.toolcalls.prompts import system_prompt

TOOL = {"name": "get_weather", "description": "Weather", "parameters": {"type": "object", "properties": {}}}
QUESTION = {"role": "user", "content": "Weather in Paris?"}
HERMES = (
    "You are a function calling AI model. You are provided with function signatures within <tools></tools> XML tags. "
    "Here are the available tools: <tools> {tools} </tools> For each function call return a JSON object"
)


def test_other_text_around_tools_in_the_system_message_stays() -> None:
    turns = [{"role": "system", "content": f"You are Bob.\n<tools>{json.dumps([TOOL])}</tools>"}, QUESTION]
    messages, _ = conversation_of({"messages": turns})
    assert messages[0].content == system_prompt([TOOL]) + "\n\nYou are Bob."


def test_tools_a_line_each_are_read() -> None:
    other = {**TOOL, "name": "get_time"}
    system = HERMES.replace("{tools}", f"\n{json.dumps(TOOL)}\n{json.dumps(other)}\n")
    turns = [{"role": "system", "content": system}, QUESTION]
    assert conversation_of({"messages": turns})[1] == {"tools": ["get_weather", "get_time"]}


@pytest.mark.parametrize("guidelines", [False, True])
@pytest.mark.parametrize("columns", [{}, {"tools": [TOOL]}], ids=["tools in the prompt", "tools apart"])
def test_text_behind_the_recipes_own_prompt_stays(columns: dict[str, Any], guidelines: bool) -> None:
    own = 'Be brief; never write <tools>[{"name": "x"}]</tools> or </tool_call> yourself.'
    system = f"{system_prompt([TOOL], guidelines=guidelines)}\n\n{own}"
    messages, meta = conversation_of({**columns, "messages": [{"role": "system", "content": system}, QUESTION]})
    assert messages[0].content == f"{system_prompt([TOOL])}\n\n{own}"
    assert meta == {"tools": ["get_weather"]}


def test_recipes_own_prompt_is_known_whatever_the_spelling_of_its_list() -> None:
    system = system_prompt([{}]).replace("[{}]", f"\n{[{'type': 'function', 'function': TOOL}]}\n")
    messages, _ = conversation_of({"messages": [{"role": "system", "content": f"{system} Be brief."}, QUESTION]})
    assert messages[0].content == f"{system_prompt([TOOL])}\n\nBe brief."


@pytest.mark.parametrize(
    ("end", "kept"),
    [
        (" as follows:\n<tool_call>\n{tool_call}\n</tool_call>\n\nBe brief.", "\n\nBe brief."),
        (" as follows:\n<tool_call>\n{tool_call}\n</tool_call>\n", ""),
        (" within <tool_call></tool_call> XML tags.", ""),
    ],
)
def test_of_hermes_instructions_only_what_follows_their_example_stays(end: str, kept: str) -> None:
    system = HERMES.replace("{tools}", json.dumps([TOOL])) + end
    messages, _ = conversation_of({"messages": [{"role": "system", "content": system}, QUESTION]})
    assert messages[0].content == system_prompt([TOOL]) + kept
