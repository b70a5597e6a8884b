"""A valid row of every published layout that `prepare` reads."""

import json
from typing import Any

_TOOL = {
    "type": "function",
    "function": {"name": "weather", "description": "Tells it.", "parameters": {"type": "object", "properties": {}}},
}
_CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Paris"}'}}
ROWS: list[dict[str, Any]] = [
    {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello.", "weight": 1}]},
    {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Is it wet?"}]},
            {"role": "assistant", "content": None, "tool_calls": [_CALL], "train": False},
            {"role": "tool", "tool_call_id": "c1", "content": '{"wet": true}'},
            {"role": "assistant", "content": "It is."},
        ],
        "tools": [_TOOL],
    },
    {
        "messages": [
            {"role": "user", "content": "Is it wet?"},
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "I look."},
                    {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Paris"}},
                ],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "wet"}]},
            {"role": "assistant", "content": "It is."},
        ],
        "tools": json.dumps([{"name": "weather", "input_schema": {"type": "object", "properties": {}}}]),
    },
    {
        "conversations": [
            {"from": "human", "value": "Is it wet?"},
            {"from": "function_call", "value": "{'name': 'weather', 'arguments': {'city': 'Paris'}}"},
            {"from": "observation", "value": "wet"},
            {"from": "gpt", "value": "It is."},
        ],
        "system": "Be brief.",
        "tools": json.dumps([_TOOL]),
    },
    {"conversations": {"from": ["human", "gpt"], "value": ["Hi", "Hello."]}},
    {"conversations": json.dumps([{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello."}])},
    {
        "messages": [
            {"role": "user", "content": "Is it wet?"},
            {"role": "assistant", "content": '<tool_call>\n{"name": "weather", "arguments": {}}\n</tool_call>'},
            {"role": "tool", "content": "<tool_response>\nwet\n</tool_response>"},
            {"role": "assistant", "content": "[weather(city='Paris')]"},
        ],
        "tools": [_TOOL],
    },
    {
        "messages": [
            {"role": "user", "content": "Is it wet?"},
            {"role": "assistant", "content": '<|python_tag|>{"name": "weather", "parameters": {"city": "Paris"}}'},
            {"role": "ipython", "content": "wet"},
            {"role": "assistant", "content": '[TOOL_CALLS][{"name": "weather", "arguments": {"city": "Rome"}}]'},
        ]
    },
    {"prompt": "Hi", "chosen": "Hello.", "rejected": "No."},
    {"chosen": "\n\nHuman: Hi\n\nAssistant: Hello.", "rejected": "\n\nHuman: Hi\n\nAssistant: No."},
    {"prompt": [{"role": "user", "content": "Hi"}], "completion": [{"role": "assistant", "content": "Hello."}]},
    {"query": "Is it wet?", "answers": '[{"name": "weather", "arguments": {"city": "Paris"}}]', "tools": "[]"},
    {
        "system": 'SYSTEM: You have functions -\n{"name": "weather", "description": "", "parameters": {}}',
        "chat": 'USER: Wet?\n\n\nASSISTANT: <functioncall> {"name": "weather", "arguments": \'{"city": "Paris"}\'} '
        "<|endoftext|>\n\n\nFUNCTION RESPONSE: wet\n\n\nASSISTANT: It is. <|endoftext|>",
    },
    {"instruction": "Add.", "input": "1 and 2", "output": "3", "history": [["Hi", "Hello."]], "system": "Be brief."},
    {"question": "Wet?", "context": "In Paris.", "response": "It is."},
]
BFCL_QUESTIONS = [
    {
        "id": "simple_python_0",
        "question": [[{"role": "user", "content": "What is it in Paris?"}]],
        "function": [
            {
                "name": "weather",
                "description": "Tells it.",
                "parameters": {
                    "type": "dict",
                    "properties": {
                        "city": {"type": "string", "description": "A city."},
                        "days": {"type": "array", "items": {"type": "integer"}, "description": "Days."},
                        "unit": {"type": "dict", "properties": {"kind": {"type": "string"}}},
                    },
                    "required": ["city"],
                },
            }
        ],
    }
]
BFCL_ANSWERS = [
    {
        "id": "simple_python_0",
        "ground_truth": [
            {"weather": {"city": ["Paris", "paris"], "days": [[1, 2], ""], "unit": [{"kind": ["C"]}, ""]}}
        ],
    }
]
CHATTERBOT = b"""categories:
- AI
- conversations
conversations:
- - What is AI?
  - "Artificial Intelligence: the branch of engineering."
- - Are you sentient?
  - Sort of.
  - Why?
- - 1963?
  - Yes
"""
