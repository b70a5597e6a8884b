"""One conversation in every layout and with every quirk of published data: read whole, or rejected with the reason."""

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest

from storm_core.errors import InputError
from storm_core.records import Message, make_example
from storm_core.sources.formats.chat_messages import conversation_of

Row = dict[str, Any]
PARAMETERS = {"type": "object", "properties": {"harbour": {"type": "string"}}, "required": ["harbour"]}
TOOL_HEAD = {"name": "get_tide", "description": "Tide at a harbour."}
TOOL = {**TOOL_HEAD, "parameters": PARAMETERS}
SYSTEM, QUESTION, RESULT, ANSWER = "Be brief.", "When is high tide at Peel?", "six", "At six."
HARBOURS = ("Peel", "Port Erin's pier", 'the "old" quay; north', "Ramsey\n2")


def turns(*pairs: tuple[str, Any]) -> list[Row]:
    return [{"role": role, "content": content} for role, content in pairs]


def sharegpt(messages: list[Row]) -> list[Row]:
    names = {"user": "human", "assistant": "gpt", "tool": "observation"}
    return [{"from": names.get(one["role"], one["role"]), "value": one["content"]} for one in messages]


EARLIER = (("system", SYSTEM), ("user", "Hello."), ("assistant", "Good day."))
TALK = turns(*EARLIER, ("user", QUESTION), ("assistant", ANSWER))
DIALOGUE = "\n\nHuman: Hello.\n\nAssistant: Good day.\n\nHuman: When is high tide at Peel?\n\nAssistant: At six."
LAYOUTS: dict[str, Row] = {
    "messages": {"messages": TALK},
    "messages as JSON": {"messages": json.dumps(TALK)},
    "conversations": {"conversations": sharegpt(TALK)},
    "conversations as JSON": {"conversations": json.dumps(sharegpt(TALK))},
    "parallel lists": {
        "messages": {"role": [one["role"] for one in TALK], "content": [one["content"] for one in TALK]}
    },
    "developer": {"messages": [{"role": "developer", "content": SYSTEM}, *TALK[1:]]},
    "parts": {"messages": [{**one, "content": [{"type": "text", "text": one["content"]}]} for one in TALK]},
    "system column": {"conversations": sharegpt(TALK[1:]), "system": SYSTEM},
    "system prompt column": {"messages": TALK[1:], "system_prompt": SYSTEM},
    "system twice": {"messages": TALK, "system": SYSTEM},
    "Anthropic": {
        "system": [{"type": "text", "text": SYSTEM}],
        "messages": [{**one, "content": [{"type": "text", "text": one["content"]}]} for one in TALK[1:]],
    },
    "prompt and completion": {"prompt": TALK[:-1], "completion": TALK[-1:]},
    "prompt and completion as text": {"prompt": json.dumps(TALK[:-1]), "completion": ANSWER},
    "preference": {"prompt": TALK[:-1], "chosen": TALK[-1:], "rejected": []},
    "HH-RLHF": {"chosen": DIALOGUE, "rejected": "", "system": SYSTEM},
    "HH-RLHF in two": {"prompt": DIALOGUE.removesuffix(" At six."), "chosen": " At six.", "system": SYSTEM},
    "Glaive": {
        "system": f"SYSTEM: {SYSTEM}",
        "chat": "USER: Hello.\n\n\nASSISTANT: Good day. <|endoftext|>\n\n\n"
        f"USER: {QUESTION}\n\n\nASSISTANT: {ANSWER} <|endoftext|>",
    },
    "Alpaca": {
        "instruction": QUESTION, "input": "", "output": ANSWER, "history": [["Hello.", "Good day."]], "system": SYSTEM
    },
    "Alpaca, history as JSON": {
        "instruction": QUESTION, "output": ANSWER, "history": '[["Hello.", "Good day."]]', "system": SYSTEM
    },
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_conversation(layout: str) -> None:
    messages, meta = conversation_of(LAYOUTS[layout])
    read = [(one.role, one.content.strip().removesuffix(" <|endoftext|>")) for one in messages]
    assert read == [(one["role"], one["content"]) for one in TALK]
    assert meta == {}


@pytest.mark.parametrize("empty", [None, [], "", "[]", " {} ", "null"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_column_that_holds_nothing_hides_no_other(layout: str, empty: Any) -> None:
    columns = ("messages", "conversations", "chosen", "completion", "tools", "functions", "history")
    row = {**dict.fromkeys(columns, empty), **LAYOUTS[layout]}
    assert conversation_of(row)[0] == conversation_of(LAYOUTS[layout])[0]


def arguments(harbour: str) -> str:
    return json.dumps({"harbour": harbour}, ensure_ascii=False)


# How models and interfaces spell a call of get_tide.
CALLS: dict[str, Callable[[str], Row]] = {
    "OpenAI": lambda harbour: {
        "content": None,
        "tool_calls": [
            {"id": "1", "type": "function", "function": {"name": "get_tide", "arguments": arguments(harbour)}}
        ],
    },
    "OpenAI, as JSON": lambda harbour: {
        "content": "",
        "tool_calls": json.dumps([{"function": {"name": "get_tide", "arguments": {"harbour": harbour}}}]),
    },
    "OpenAI, of before": lambda harbour: {
        "content": None, "function_call": {"name": "get_tide", "arguments": arguments(harbour)}
    },
    "Anthropic": lambda harbour: {
        "content": [{"type": "tool_use", "id": "1", "name": "get_tide", "input": {"harbour": harbour}}]
    },
    "Hermes, Qwen": lambda harbour: {
        "content": f'<tool_call>\n{{"name": "get_tide", "arguments": {arguments(harbour)}}}\n</tool_call>'
    },
    "Glaive": lambda harbour: {
        "content": f'<functioncall> {{"name": "get_tide", "arguments": {arguments(harbour)}}} <|endoftext|>'
    },
    "Llama 3.1": lambda harbour: {"content": f'{{"name": "get_tide", "parameters": {arguments(harbour)}}}'},
    "Llama 3.1, typed": lambda harbour: {
        "content": f'{{"type": "function", "name": "get_tide", "parameters": {arguments(harbour)}}}<|eot_id|>'
    },
    "Llama 3.1, tag": lambda harbour: {
        "content": f'<|python_tag|>{{"name": "get_tide", "parameters": {arguments(harbour)}}}<|eom_id|>'
    },
    "Llama 3.1, function": lambda harbour: {"content": f"<function=get_tide>{arguments(harbour)}</function>"},
    "Llama 4": lambda harbour: {"content": f"[get_tide(harbour={harbour!r})]"},
    "Mistral": lambda harbour: {
        "content": f'[TOOL_CALLS] [{{"name": "get_tide", "arguments": {arguments(harbour)}}}]</s>'
    },
    "Mistral, new": lambda harbour: {"content": f"[TOOL_CALLS]get_tide[ARGS]{arguments(harbour)}"},
    "Mistral, with an ID": lambda harbour: {
        "content": f"[TOOL_CALLS]get_tide[CALL_ID]abc123def[ARGS]{arguments(harbour)}</s>"
    },
    "Mistral, bare": lambda harbour: {"content": f"[TOOL_CALLS]get_tide{arguments(harbour)}"},
}  # fmt: skip
# How the result comes back.
RESULTS: dict[str, Row] = {
    "tool": {"role": "tool", "content": RESULT},
    "ipython": {"role": "ipython", "content": RESULT},
    "parts": {"role": "tool", "content": [{"type": "text", "text": "s"}, {"type": "text", "text": "ix"}]},
    "Qwen": {"role": "user", "content": f"<tool_response>\n{RESULT}\n</tool_response>"},
    "Mistral": {"role": "tool", "content": f"[TOOL_RESULTS]{RESULT}[/TOOL_RESULTS]"},
    "Anthropic": {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": RESULT}]},
    "Anthropic, parts": {
        "role": "user",
        "content": [{"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": RESULT}]}],
    },
}
# How the function is offered: columns, and a system message.
OFFERS: dict[str, tuple[Row, str]] = {
    "column": ({"tools": [{"type": "function", "function": TOOL}]}, ""),
    "JSON": ({"tools": json.dumps([TOOL])}, ""),
    "functions": ({"functions": [TOOL]}, ""),
    "Anthropic": ({"tools": [{**TOOL_HEAD, "input_schema": PARAMETERS}]}, ""),
    "Qwen": ({}, f"# Tools\n\nYou may call:\n<tools>\n{json.dumps({'function': TOOL})}\n</tools>\n\nCall so:\n"
             '<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>'),
    "Mistral": ({}, f"[AVAILABLE_TOOLS] {json.dumps([TOOL])}[/AVAILABLE_TOOLS]"),
}  # fmt: skip


@pytest.mark.parametrize("offer", OFFERS)
@pytest.mark.parametrize("spelling", CALLS)
def test_every_spelling_of_a_call_becomes_the_recipes(spelling: str, offer: str) -> None:
    columns, system = OFFERS[offer]
    for harbour, result in itertools.product(HARBOURS, RESULTS.values()):
        call = {"role": "assistant", **CALLS[spelling](harbour)}
        row = {"messages": [*turns(("user", QUESTION)), call, result, *turns(("assistant", ANSWER))], **columns}
        for said in ("", SYSTEM):
            own = "\n\n".join(filter(None, [said, system]))
            messages, meta = conversation_of({**row, "messages": [*turns(("system", own)), *row["messages"]]})
            block = json.dumps({"tool_name": "get_tide", "tool_arguments": {"harbour": harbour}}, ensure_ascii=False)
            called = Message(role="assistant", content=f"<tool_call>{block}</tool_call>")
            assert messages[2:] == (
                called,
                Message(role="tool", content=RESULT),
                Message(role="assistant", content=ANSWER),
            )
            assert meta == {"tools": ["get_tide"]}
            assert messages[0].content.endswith(said or "</tool_call>")
            assert '<function-name>, "arguments"' not in messages[0].content
            assert messages[0].content.count("Tide at a harbour.") == 1
            make_example("s", messages, meta)


def test_text_before_native_calls_stays_and_several_are_several() -> None:
    calls = [f'{{"name": "get_tide", "parameters": {arguments(harbour)}}}' for harbour in HARBOURS]
    for text in (f"<|python_tag|>{'; '.join(calls)}", "\n".join(calls), f"I look.\n[TOOL_CALLS] [{', '.join(calls)}]"):
        row = {"messages": turns(("user", QUESTION), ("assistant", text)), "tools": [TOOL]}
        answer = conversation_of(row)[0][-1].content
        assert answer.count("<tool_call>") == len(HARBOURS)
        assert answer.startswith("I look.") == text.startswith("I look.")


def test_xlams_calls_and_no_calls() -> None:
    row = {
        "query": QUESTION,
        "tools": json.dumps([TOOL]),
        "answers": json.dumps([{"name": "get_tide", "arguments": {}}]),
    }
    assert (
        conversation_of(row)[0][-1].content == '<tool_call>{"tool_name": "get_tide", "tool_arguments": {}}</tool_call>'
    )
    assert conversation_of({**row, "answers": "[]"})[0][-1].content == "[]"


@pytest.mark.parametrize("empty", [None, [], "[]", "{}"])
def test_tools_behind_an_empty_column_are_on_offer(empty: Any) -> None:
    row = {"messages": TALK, "functions": [TOOL]}
    assert conversation_of({**row, "tools": empty})[1] == conversation_of(row)[1] == {"tools": ["get_tide"]}


@pytest.mark.parametrize("answer", ["[]", "{}"])
def test_empty_list_or_object_is_an_answer_where_no_other_is(answer: str) -> None:
    rows: list[Row] = [
        {"prompt": QUESTION, "completion": answer},
        {"prompt": QUESTION, "chosen": answer},
        {"instruction": QUESTION, "output": answer, "response": ""},
        {"question": QUESTION, "answer": answer},
    ]
    for row in rows:
        assert [one.content for one in conversation_of(row)[0]] == [QUESTION, answer]


def test_mark_of_a_function_in_prose_leaves_the_calls_beside_it() -> None:
    text = 'I write <function= as Llama would.\n<tool_call>{"name": "get_tide", "arguments": {}}</tool_call>'
    row = {"messages": turns(("user", QUESTION), ("assistant", text)), "tools": [TOOL]}
    assert '{"tool_name": "get_tide", "tool_arguments": {}}' in conversation_of(row)[0][-1].content


def test_context_is_part_of_the_question_and_both_system_messages_stay() -> None:
    row = {"instruction": QUESTION, "context": "It is Monday.", "response": ANSWER, "category": "closed_qa"}
    assert conversation_of(row)[0][0].content == f"{QUESTION}\n\nIt is Monday."
    both = {"messages": [*turns(("system", "Be long.")), *TALK], "system_message": "Be kind."}
    assert conversation_of(both)[0][0].content == "Be kind.\n\nBe long.\n\nBe brief."


def test_results_follow_the_order_of_the_calls_whose_ids_they_name() -> None:
    call = {"name": "get_tide", "arguments": "{}"}
    row = {
        "messages": [
            *turns(("user", QUESTION)),
            {"role": "assistant", "tool_calls": [{"id": "a", "function": call}, {"id": "b", "function": call}]},
            {"role": "tool", "tool_call_id": "b", "content": "seven"},
            {"role": "tool", "tool_call_id": "a", "content": "six"},
            *turns(("assistant", ANSWER)),
        ],
        "tools": [TOOL],
    }
    assert [one.content for one in conversation_of(row)[0][3:5]] == ["six", "seven"]


@pytest.mark.parametrize("empty", [None, "", []])
def test_function_may_give_nothing_back(empty: Any) -> None:
    row = {
        "messages": [
            *turns(("user", QUESTION)),
            {"role": "assistant", **CALLS["OpenAI"]("Peel")},
            {"role": "tool", "content": empty},
            *turns(("assistant", ANSWER)),
        ],
        "tools": [TOOL],
    }
    assert make_example("s", *conversation_of(row)).messages[3].content in ("", "[]")


# Whether each of the answers is to be learned, and how many turns stay; None where the row is rejected.
LEARNED: dict[tuple[bool, ...], int | None] = {
    (True, True): 4,
    (True, False): 2,
    (False, True): None,
    (False, False): None,
}
KEYS = {"weight": (1, 0), "train": (True, False), "training": (True, False), "loss": (1.0, 0.0)}


@pytest.mark.parametrize("layout", ["openai", "sharegpt"])
@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("learned", LEARNED)
def test_answer_that_is_not_to_be_learned_is_never_learned(learned: tuple[bool, ...], key: str, layout: str) -> None:
    messages = TALK[1:]
    if layout == "sharegpt":
        messages = sharegpt(messages)
    for place, one in zip((1, 3), learned, strict=True):
        messages[place] = {**messages[place], key: KEYS[key][0 if one else 1]}
    row = {"messages" if layout == "openai" else "conversations": messages}
    staying = LEARNED[learned]
    if staying is None:
        with pytest.raises(InputError, match="to be learned"):
            conversation_of(row)
    else:
        read, meta = conversation_of(row)
        assert len(read) == staying
        assert meta == ({} if staying == 4 else {"untrained_turns": 2})


REJECTED: dict[str, tuple[Row, str]] = {
    "half a weight": ({"messages": [TALK[1], {**TALK[2], "weight": 0.5}]}, "must be 0 or 1"),
    "weight as text": ({"messages": [TALK[1], {**TALK[2], "train": "no"}]}, "must be 0 or 1"),
    "part of an answer": ({"messages": [TALK[1], {**TALK[2], "train_detail": [{"begin_offset": 0}]}]}, "learned whole"),
    "image": ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}, TALK[2]]}, "type 'image_url'"),
    "thinking": (
        {"messages": [TALK[1], {"role": "assistant", "content": [{"type": "thinking", "thinking": "x"}]}]},
        "type 'thinking'",
    ),
    "history of something else": ({"instruction": "a", "output": "b", "history": [["a"]]}, "history is not a list"),
    "history as text": ({"instruction": "a", "output": "b", "history": "Once."}, "history is neither JSON"),
    "chat without speakers": ({"chat": "Hello."}, "does not begin with one of USER:"),
    "Mistral's mark alone": (
        {"messages": turns(("user", "a"), ("assistant", "[TOOL_CALLS] soon")), "tools": [TOOL]},
        "is no call",
    ),
    "Llama's mark alone": (
        {"messages": turns(("user", "a"), ("assistant", "<|python_tag|>import os")), "tools": [TOOL]},
        "is no call",
    ),
    "xLAM's answers in words": ({"query": "a", "answers": "call it"}, "answers is neither JSON"),
    "messages cut off": ({"messages": '[{"role": "user"'}, "messages is neither JSON"),
}


@pytest.mark.parametrize("name", REJECTED)
def test_what_cannot_be_kept_is_rejected_with_its_reason(name: str) -> None:
    row, reason = REJECTED[name]
    with pytest.raises(InputError, match=reason):
        conversation_of(row)
