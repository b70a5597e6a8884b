"""The recipe's five data sets in the layouts in which their owners publish them, one row of our own a layout."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from storm_core.execution import Outcome
from storm_core.records import Example, read_examples
from storm_core.toolcalls.prompts import system_prompt

RECIPE = Path(__file__).parents[2] / "recipes" / "llama31_storm_8b.yaml"
SOURCES: dict[str, str] = {
    text.partition("=")[0]: text for text in yaml.safe_load(RECIPE.read_text())["prepare_sources"]
}

TIDE = {
    "name": "tide_table",
    "description": "Lists high and low water.",
    "parameters": {
        "type": "object",
        "properties": {"port": {"type": "string", "description": "Name of the harbour"}},
        "required": ["port"],
    },
}
WIND = {"name": "wind_now", "description": "Tells the wind.", "parameters": {"type": "object", "properties": {}}}
# Salesforce's functions describe their parameters without a JSON schema.
FERRY = {
    "name": "next_ferry",
    "description": "Finds the next departure.",
    "parameters": {"pier": {"description": "Where it leaves", "type": "str", "default": "north"}},
}
GLAIVE_OFFER = "You are a helpful assistant with access to the following functions. Use them if required -"
SCORES = {"instruct_reward": 2.5, "language": "EN", "other_task_category": None, "seed": None}

Read = Callable[[str], list[Example]]


@pytest.fixture
def repository(data: Path) -> Callable[[str], Path]:
    """The directory of a source of the recipe, with what a hub's snapshot holds beside the rows."""

    def make(source: str) -> Path:
        directory = data / SOURCES[source].rpartition(":")[2].partition("#")[0]
        directory.mkdir(parents=True)
        (directory / "README.md").write_text("---\nlicense: mit\n---\n")
        (directory / ".gitattributes").write_text("*.jsonl filter=lfs\n")
        return directory

    return make


@pytest.fixture
def read(prepare: Callable[..., Outcome], tmp_path: Path) -> Read:
    """The examples that the stage makes of a source of the recipe, none of its rows rejected, in the order of rows."""

    def run(source: str) -> list[Example]:
        prepare(SOURCES[source], shards=1)
        examples = read_examples(tmp_path / "examples" / "shard-00000.parquet")
        return sorted(examples, key=lambda example: str(example.meta["place"]))

    return run


def sharegpt(*turns: tuple[str, str]) -> list[dict[str, str]]:
    return [{"from": role, "value": text} for role, text in turns]


def write_lines(file: Path, rows: list[dict[str, Any]]) -> None:
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def write_parquet(file: Path, rows: list[dict[str, Any]]) -> None:
    file.parent.mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), file)


def turns(example: Example) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in example.messages]


def test_the_tome_is_one_file_of_sharegpt_lines_with_the_name_of_their_origin(
    repository: Callable[[str], Path], read: Read
) -> None:
    conversation = sharegpt(
        ("system", "Answer like a lighthouse keeper."),
        ("human", "Why is the lamp turned?"),
        ("gpt", "So that each light has a rhythm of its own."),
        ("human", "And by day?"),
        ("gpt", "By day the tower's stripes tell it apart."),
    )
    write_lines(
        repository("the-tome") / "the_tome.jsonl", [{"conversations": conversation, "dataset": "systemchat-2.0"}]
    )
    (example,) = read("the-tome")
    assert turns(example) == [
        ("system", "Answer like a lighthouse keeper."),
        ("user", "Why is the lamp turned?"),
        ("assistant", "So that each light has a rhythm of its own."),
        ("user", "And by day?"),
        ("assistant", "By day the tower's stripes tell it apart."),
    ]
    assert example.source == "the-tome"
    assert example.meta == {"place": "arcee-ai/The-Tome/the_tome.jsonl:1"}


def test_glaives_functions_and_calls_in_the_tome_become_the_recipes(
    repository: Callable[[str], Path], read: Read
) -> None:
    offer = f"{GLAIVE_OFFER}\n{json.dumps(TIDE, indent=4)}\n{json.dumps(WIND, indent=4)}\n"
    call = """<functioncall> {"name": "tide_table", "arguments": '{"port": "St. John's"}'} <|endoftext|>"""
    conversation = sharegpt(
        ("system", offer),
        ("human", "When is high water in St. John's?"),
        ("gpt", call),
        ("tool", '{"high": "04:10"}'),
        ("gpt", "At ten past four. <|endoftext|>"),
    )
    write_lines(repository("the-tome") / "the_tome.jsonl", [{"conversations": conversation, "dataset": "glaive"}])
    (example,) = read("the-tome")
    assert turns(example) == [
        ("system", system_prompt([TIDE, WIND])),
        ("user", "When is high water in St. John's?"),
        ("assistant", '<tool_call>{"tool_name": "tide_table", "tool_arguments": {"port": "St. John\'s"}}</tool_call>'),
        ("tool", '{"high": "04:10"}'),
        ("assistant", "At ten past four."),
    ]
    assert example.meta["tools"] == ["tide_table", "wind_now"]


def test_agent_data_from_salesforce_has_the_recipes_prompt_and_calls_as_python_dicts(
    repository: Callable[[str], Path], read: Read
) -> None:
    calls = [
        "<tool_call>{'tool_name': 'next_ferry', 'tool_arguments': {'pier': \"King's\"}}</tool_call>",
        "<tool_call>{'tool_name': 'next_ferry', 'tool_arguments': {'pier': 'south', 'bikes': True}}</tool_call>",
    ]
    conversation = sharegpt(
        ("system", system_prompt([FERRY])), ("human", "Next boats from King's and south?"), ("gpt", "\n".join(calls))
    )
    row = {"conversations": conversation, "dataset": "salesforce_sharegpt"}
    write_lines(repository("agent-data") / "arcee_agent_data.jsonl", [row])
    (example,) = read("agent-data")
    assert turns(example) == [
        ("system", system_prompt([FERRY])),
        ("user", "Next boats from King's and south?"),
        (
            "assistant",
            '<tool_call>{"tool_name": "next_ferry", "tool_arguments": {"pier": "King\'s"}}</tool_call>\n'
            '<tool_call>{"tool_name": "next_ferry", "tool_arguments": {"pier": "south", "bikes": true}}</tool_call>',
        ),
    ]


def test_agent_data_from_extended_glaive_lists_its_functions_and_calls_without_tags(
    repository: Callable[[str], Path], read: Read
) -> None:
    offer = f"{GLAIVE_OFFER}\n{json.dumps([{'type': 'function', 'function': tool} for tool in (TIDE, WIND)])}"
    calls = [{"name": "wind_now", "arguments": {}}, {"name": "tide_table", "arguments": {"port": "Oban"}}]
    conversation = sharegpt(
        ("system", offer),
        ("human", "Wind and tide in Oban?"),
        ("gpt", json.dumps(calls)),
        ("human", "Thanks. Write me a poem in JSON."),
        ("gpt", '[{"name": "sea", "arguments": {"is": "wide"}}]'),
    )
    row = {"conversations": conversation, "dataset": "glaive-function-calling-v2-extended"}
    write_lines(repository("agent-data") / "arcee_agent_data.jsonl", [row])
    (example,) = read("agent-data")
    assert turns(example) == [
        ("system", system_prompt([TIDE, WIND])),
        ("user", "Wind and tide in Oban?"),
        (
            "assistant",
            '<tool_call>{"tool_name": "wind_now", "tool_arguments": {}}</tool_call>\n'
            '<tool_call>{"tool_name": "tide_table", "tool_arguments": {"port": "Oban"}}</tool_call>',
        ),
        ("user", "Thanks. Write me a poem in JSON."),
        ("assistant", '[{"name": "sea", "arguments": {"is": "wide"}}]'),
    ]


def test_agent_data_from_toolbench_keeps_the_format_that_its_own_system_message_asks_for(
    repository: Callable[[str], Path], read: Read
) -> None:
    rules = (
        f"Use the API below.\nYou have access to the following API: {TIDE}\nReply as {{'Thought': ..., 'Tool': ...}}"
    )
    call = '{"Thought": "I look it up.", "Tool": "tide_table", "Input": {"port": "Oban"}}'
    conversation = sharegpt(("system", rules), ("user", "Is it ebb in Oban?"), ("assistant", call))
    row = {"conversations": conversation, "dataset": "toolbench_react_10p_unfiltered"}
    write_lines(repository("agent-data") / "arcee_agent_data.jsonl", [row])
    (example,) = read("agent-data")
    assert turns(example) == [("system", rules), ("user", "Is it ebb in Oban?"), ("assistant", call)]


def test_magpie_pro_is_parquet_with_the_conversation_beside_its_parts_and_many_notes(
    repository: Callable[[str], Path], read: Read
) -> None:
    instruction, response = "What makes sand sing?", "Grains of one size that rub as they slide."
    row = {
        "uuid": "0b5e",
        "model": "llama",
        "gen_input_configs": {"temperature": 1.0, "seed": None, "pre_query_template": "<user>"},
        "instruction": instruction,
        "response": response,
        "conversations": sharegpt(("human", instruction), ("gpt", response)),
        "difficulty": "easy",
        "input_quality": "good",
        **SCORES,
    }
    write_parquet(repository("magpie-pro") / "data" / "train-00000-of-00001.parquet", [row])
    (example,) = read("magpie-pro")
    assert turns(example) == [("user", instruction), ("assistant", response)]
    path = "Magpie-Align/Magpie-Llama-3.1-Pro-300K-Filtered/data/train-00000-of-00001.parquet:1"
    assert example.meta == {"place": path}


def test_openhermes_is_sharegpt_lines_with_columns_that_are_often_empty(
    repository: Callable[[str], Path], read: Read
) -> None:
    empty = {"custom_instruction": None, "system_prompt": None, "title": None, "source": "cot", "idx": 7}
    with_system = sharegpt(("system", "Be exact."), ("human", "Name a prime."), ("gpt", "Eleven is a prime."))
    without = sharegpt(("human", "Spell fjord backwards."), ("gpt", "It is d-r-o-j-f."))
    rows = [{"conversations": conversation, **empty} for conversation in (with_system, without)]
    write_lines(repository("openhermes") / "openhermes_200k_unfiltered.jsonl", rows)
    first, second = read("openhermes")
    assert turns(first) == [("system", "Be exact."), ("user", "Name a prime."), ("assistant", "Eleven is a prime.")]
    assert turns(second) == [("user", "Spell fjord backwards."), ("assistant", "It is d-r-o-j-f.")]


def test_of_magpies_preferences_the_chosen_answer_is_taken_in_both_splits(
    repository: Callable[[str], Path], read: Read
) -> None:
    def pair(question: str, better: str, worse: str) -> dict[str, Any]:
        return {
            "uuid": "5f1c",
            "instruction": question,
            "responses": [worse, better],
            "rewards_armorm": [{"score": 0.1}, {"score": 0.2}],
            "gen_response_configs": {"prompt": "<user>", "max_tokens": 4096, "stop_tokens": ["<end>"]},
            "chosen": [{"content": question, "role": "user"}, {"content": better, "role": "assistant"}],
            "rejected": [{"content": question, "role": "user"}, {"content": worse, "role": "assistant"}],
            **SCORES,
        }

    directory = repository("magpie-po") / "data"
    train = pair("How do eels find the sea?", "By smell and by the moon.", "They ask.")
    test = pair("Which knot holds wet rope?", "A double sheet bend does.", "Any.")
    write_parquet(directory / "train-00000-of-00001.parquet", [train])
    write_parquet(directory / "test-00000-of-00001.parquet", [test])
    from_test, from_train = read("magpie-po")
    assert turns(from_train) == [("user", "How do eels find the sea?"), ("assistant", "By smell and by the moon.")]
    assert turns(from_test) == [("user", "Which knot holds wet rope?"), ("assistant", "A double sheet bend does.")]


@pytest.mark.parametrize(
    "system",
    [
        f"{GLAIVE_OFFER}\n{json.dumps(TIDE)}\n{{'name': wind}}",
        f"{GLAIVE_OFFER}\n[{{}}]",
        f"{GLAIVE_OFFER}\n[]",
        "You have access to the following functions of the harbour: berth and crane.",
    ],
)
def test_offer_that_cannot_be_read_whole_is_left_as_it_stands(
    system: str, repository: Callable[[str], Path], read: Read
) -> None:
    answer = '[{"name": "tide_table", "arguments": {}}]'
    conversation = sharegpt(("system", system), ("human", "Ebb or flood?"), ("gpt", answer))
    write_lines(repository("agent-data") / "arcee_agent_data.jsonl", [{"conversations": conversation}])
    (example,) = read("agent-data")
    assert turns(example) == [("system", system), ("user", "Ebb or flood?"), ("assistant", answer)]


def test_what_stands_around_an_offer_stays_behind_the_recipes_prompt(
    repository: Callable[[str], Path], read: Read
) -> None:
    system = f"Speak like a pilot. {GLAIVE_OFFER} {json.dumps(TIDE)}, {json.dumps(WIND)} Be [very] short."
    conversation = sharegpt(("system", system), ("human", "Ebb or flood?"), ("gpt", "Ebb."))
    write_lines(repository("the-tome") / "the_tome.jsonl", [{"conversations": conversation}])
    (example,) = read("the-tome")
    assert turns(example)[0] == (
        "system",
        f"{system_prompt([TIDE, WIND])}\n\nSpeak like a pilot. Be [very] short.",
    )
