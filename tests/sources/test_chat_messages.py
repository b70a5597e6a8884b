import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storm_core.artifacts import open_directory
from storm_core.errors import InputError
from storm_core.records import Message
from storm_core.sources.files.rows import Rejected, Row
from storm_core.sources.formats.chat_messages import SHAPES as SHAPE_NAMES
from storm_core.sources.formats.chat_messages import conversation_of, read

QUESTION, ANSWER = Message(role="user", content="Why?"), Message(role="assistant", content="Because.")
SHAPES: dict[str, dict[str, Any]] = {
    "messages": {"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}]},
    "conversations": {"conversations": [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "Because."}]},
    "chosen": {
        "chosen": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}],
        "rejected": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "No idea."}],
        "instruction": "Why?",
    },
    "instruction": {"instruction": "Why?", "input": "", "output": "Because."},
}


def messages_in(row: dict[str, Any], shape: str | None = None) -> tuple[Message, ...]:
    return conversation_of(row, shape)[0]


@pytest.mark.parametrize("shape", SHAPES)
def test_every_published_shape_gives_the_same_conversation(shape: str) -> None:
    assert messages_in(SHAPES[shape]) == (QUESTION, ANSWER)


def test_input_follows_the_instruction_after_a_blank_line() -> None:
    question, _ = messages_in({"instruction": "Translate.", "input": "Guten Tag", "output": "Good day"})
    assert question.content == "Translate.\n\nGuten Tag"


def test_sharegpt_roles_become_ours() -> None:
    turns = [
        {"from": role, "value": '{"name": "x"}'} for role in ("system", "human", "function_call", "observation", "gpt")
    ]
    roles = [message.role for message in messages_in({"conversations": turns})]
    assert roles == ["system", "user", "assistant", "tool", "assistant"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"text": "Why?"}, "no messages"),
        ({"messages": None}, "no messages"),
        ({"messages": "Why?"}, "messages is not a list"),
        ({"messages": ["Why?"]}, "messages[0] is not a role and a text"),
        ({"messages": [{"content": "Why?"}]}, "the role of messages[0] is missing"),
        ({"messages": [{"role": "user", "content": None}]}, "the content of messages[0] is missing"),
        ({"chosen": [{"role": "user", "content": ["Why?"]}]}, "the content of chosen[0] is not text"),
        ({"instruction": "Why?"}, "output or response is missing"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "the content of messages[0] is not text",
        ),
        ({"conversations": {"from": ["human"], "value": "Why?"}}, "conversations is not a list of messages"),
        (
            {"conversations": {"from": ["human", "gpt"], "value": ["Why?"]}},
            "conversations holds parallel lists of unequal lengths: 2 of 'from', 1 of 'value'",
        ),
        ({"chosen": "Because.", "rejected": "No idea."}, "instruction or prompt or question is missing"),
    ],
)
def test_malformed_row_says_what_is_wrong(row: dict[str, object], reason: str) -> None:
    with pytest.raises(InputError) as caught:
        messages_in(row)
    assert reason in str(caught.value)


def test_jsonl_rows_carry_file_and_line_and_spoil_only_themselves(tmp_path: Path) -> None:
    good = json.dumps(SHAPES["messages"]).encode()
    lines = [good, b"", b"{broken", b"\xff\xfe", b"[1, 2]", b"[" * 100_000, good]
    (tmp_path / "chat.jsonl").write_bytes(b"\n".join(lines))
    rows = list(read(open_directory(tmp_path), "chat.jsonl"))
    assert [row.place for row in rows] == [f"chat.jsonl:{line}" for line in (1, 3, 4, 5, 6, 7)]
    assert [type(row) for row in rows] == [Row, Rejected, Rejected, Rejected, Rejected, Row]


def test_parquet_rows_are_read_like_json_rows(tmp_path: Path) -> None:
    rows = [SHAPES["messages"], SHAPES["conversations"], {}]
    pq.write_table(pa.Table.from_pylist(rows, schema=_union_schema()), tmp_path / "chat.parquet", row_group_size=1)
    first, second, third = read(open_directory(tmp_path), ".")
    assert isinstance(first, Row)
    assert isinstance(second, Row)
    assert first.messages == second.messages == (QUESTION, ANSWER)
    assert isinstance(third, Rejected)
    assert [row.place for row in (first, second, third)] == [f"chat.parquet:{row}" for row in (1, 2, 3)]


def test_parquet_file_without_any_known_column_rejects_every_row(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a", "b"]}), tmp_path / "text.parquet")
    rows = list(read(open_directory(tmp_path), "."))
    assert [type(row) for row in rows] == [Rejected, Rejected]


def test_file_that_is_not_parquet_is_named(tmp_path: Path) -> None:
    (tmp_path / "chat.parquet").write_bytes(b"no")
    with pytest.raises(InputError, match=r"chat\.parquet is not a readable Parquet file"):
        list(read(open_directory(tmp_path), "."))


def test_directory_is_read_file_by_file_and_nothing_beside_it(tmp_path: Path) -> None:
    for name in ("chat/b.jsonl", "chat/deep/a.jsonl", "chat/readme.md", "chatter.jsonl"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(json.dumps(SHAPES["messages"]) + "\n")
    places = [row.place for row in read(open_directory(tmp_path), "chat")]
    assert places == ["chat/b.jsonl:1", "chat/deep/a.jsonl:1"]


def _union_schema() -> pa.Schema:
    def turns(*names: str) -> pa.DataType:
        return pa.list_(pa.struct([(name, pa.string()) for name in names]))

    return pa.schema([("messages", turns("role", "content")), ("conversations", turns("from", "value"))])


def test_named_shape_wins_over_the_order_in_which_columns_are_tried() -> None:
    row = {**SHAPES["messages"], "instruction": "What?", "output": "That."}
    assert messages_in(row) == (QUESTION, ANSWER)
    assert messages_in(row, "instruction") == (
        Message(role="user", content="What?"),
        Message(role="assistant", content="That."),
    )


@pytest.mark.parametrize("shape", SHAPE_NAMES)
def test_row_of_another_shape_than_the_named_one_is_malformed(shape: str) -> None:
    with pytest.raises(InputError, match=f"no messages: no {SHAPE_NAMES[shape]}, where {shape} rows have them"):
        messages_in({"text": "Why?"}, shape)


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Why?", "chosen": "Because.", "rejected": "No idea."},
        {"question": "Why?", "chosen": [{"role": "assistant", "content": "Because."}], "rejected": []},
        {"prompt": [{"role": "user", "content": "Why?"}], "chosen": [{"role": "assistant", "content": "Because."}]},
        {"instruction": "Why?", "response": "Because."},
        {"conversations": {"from": ["human", "gpt"], "value": ["Why?", "Because."]}},
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "Why?"}]},
                SHAPES["messages"]["messages"][1],
            ]
        },
    ],
)
def test_variants_of_the_shapes_give_the_same_conversation(row: dict[str, object]) -> None:
    assert messages_in(row) == (QUESTION, ANSWER)


def test_system_column_becomes_the_first_message_where_the_turns_have_none() -> None:
    first, *rest = messages_in({**SHAPES["conversations"], "system": "Be brief."})
    assert first == Message(role="system", content="Be brief.")
    assert tuple(rest) == (QUESTION, ANSWER)
    own = {
        "messages": [{"role": "system", "content": "Be long."}, *SHAPES["messages"]["messages"]],
        "system": "Be brief.",
    }
    assert messages_in(own)[0].content == "Be brief.\n\nBe long."
