import hashlib
from importlib import resources

import pytest

from storm_core.toolcalls.prompts import prompt_sha256, system_prompt

TOOLS = [{"name": "math.hypot", "description": "Länge", "parameters": {"type": "dict", "properties": {}}}]
SHOWN = '[{"name": "math.hypot", "description": "Länge", "parameters": {"type": "dict", "properties": {}}}]'
OPENING = (
    "You are a function calling AI model. You may call one or more functions to assist with the user query. Don't make "
    "assumptions about what values to plug into function. The user may use the terms function calling or tool use "
    "interchangeably.\nHere are the available functions:\n<tools>LIST_OF_TOOLS</tools>\n"
)
FORMAT = (
    "with function name and arguments within <tool_call></tool_call> XML tags in the format:\n"
    '<tool_call>{"tool_name": <function-name>, "tool_arguments": <args-dict>}</tool_call>\n'
)
# What the article gives, word for word: of the training data, and of BFCL.
PROMPT = OPENING + "For each function call return a json object " + FORMAT
PROMPT_WITH_GUIDELINES = (
    OPENING
    + """Follow the below guidelines:
1. If any tool needed to answer the query is not available, you must return an empty list "[]" as response.
2. Else if query does not provide any must-have argument of a required tool, you must return an empty list "[]" as response.
3. Else, for each function call you must return a json object in response """  # noqa: E501
    + FORMAT
)


@pytest.mark.parametrize(("guidelines", "text"), [(False, PROMPT), (True, PROMPT_WITH_GUIDELINES)])
def test_prompt_files_are_the_articles_byte_for_byte(guidelines: bool, text: str) -> None:
    assert prompt_sha256(guidelines=guidelines) == hashlib.sha256(text.encode()).hexdigest()
    shown = text.removesuffix("\n").replace("LIST_OF_TOOLS", SHOWN)
    assert system_prompt(TOOLS, guidelines=guidelines) == shown


def test_tools_may_contain_the_placeholder() -> None:
    assert '<tools>[{"name": "LIST_OF_TOOLS"}]</tools>' in system_prompt([{"name": "LIST_OF_TOOLS"}])


def test_hash_is_that_of_the_prompt_file() -> None:
    files = resources.files("storm_core.toolcalls")
    assert prompt_sha256() == hashlib.sha256((files / "system_prompt.txt").read_bytes()).hexdigest()
    with_guidelines = (files / "system_prompt_guidelines.txt").read_bytes()
    assert prompt_sha256(guidelines=True) == hashlib.sha256(with_guidelines).hexdigest()
    assert prompt_sha256() != prompt_sha256(guidelines=True)
