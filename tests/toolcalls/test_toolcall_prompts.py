import hashlib
from importlib import resources

from storm_core.toolcalls.prompts import prompt_sha256, system_prompt

TOOLS = [{"name": "math.hypot", "description": "Länge", "parameters": {"type": "dict", "properties": {}}}]
SHOWN = '[{"name": "math.hypot", "description": "Länge", "parameters": {"type": "dict", "properties": {}}}]'
OPENING = (
    "You are a function calling AI model. You may call one or more functions to assist with the user query. Don't make "
    "assumptions about what values to plug into function. The user may use the terms function calling or tool use "
    "interchangeably.\nHere are the available functions:\n<tools>LIST_OF_TOOLS</tools>\n"
)
FORMAT = (
    "or each function call return a json object with function name and arguments within <tool_call></tool_call> XML "
    'tags in the format:\n<tool_call>{"tool_name": <function-name>, "tool_arguments": <args-dict>}</tool_call>'
)


def test_prompt_is_the_recipes_text_with_the_tools_as_given() -> None:
    assert system_prompt(TOOLS) == (OPENING + "F" + FORMAT).replace("LIST_OF_TOOLS", SHOWN)


def test_guidelines_replace_the_last_paragraph() -> None:
    prompt = system_prompt(TOOLS, guidelines=True)
    opening = OPENING.replace("LIST_OF_TOOLS", SHOWN)
    assert prompt.startswith(opening)
    assert prompt.endswith(FORMAT)
    guidelines = prompt.removeprefix(opening).splitlines()
    assert [line[:2] for line in guidelines if line[0].isdigit()] == ["1.", "2.", "3."]
    assert sum("answer []" in line for line in guidelines) == 2


def test_tools_may_contain_the_placeholder() -> None:
    assert '<tools>[{"name": "LIST_OF_TOOLS"}]</tools>' in system_prompt([{"name": "LIST_OF_TOOLS"}])


def test_hash_is_that_of_the_prompt_file() -> None:
    files = resources.files("storm_core.toolcalls")
    assert prompt_sha256() == hashlib.sha256((files / "system_prompt.txt").read_bytes()).hexdigest()
    with_guidelines = (files / "system_prompt_guidelines.txt").read_bytes()
    assert prompt_sha256(guidelines=True) == hashlib.sha256(with_guidelines).hexdigest()
    assert prompt_sha256() != prompt_sha256(guidelines=True)
