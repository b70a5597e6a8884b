from pathlib import Path

import pytest

from storm_core.artifacts import open_directory
from storm_core.errors import InputError
from storm_core.sources.files.rows import Rejected, Row
from storm_core.sources.formats.chatterbot import read

ENGLISH = Path(__file__).parents[2] / ".data/chatterbot_corpus/data/english"


def read_text(directory: Path, text: str) -> list[Row | Rejected]:
    (directory / "talk.yml").write_text(text, encoding="utf-8")
    return list(read(open_directory(directory), "talk.yml"))


def test_turns_alternate_between_user_and_assistant(tmp_path: Path) -> None:
    (row,) = read_text(tmp_path, "categories: [small talk]\nconversations:\n- [Hello, Hi, How are you?, Fine]\n")
    assert isinstance(row, Row)
    assert [(message.role, message.content) for message in row.messages] == [
        ("user", "Hello"),
        ("assistant", "Hi"),
        ("user", "How are you?"),
        ("assistant", "Fine"),
    ]
    assert row.meta == {"category": "small talk"}
    assert row.place == "talk.yml:3"


def test_last_turn_without_answer_is_left_out_and_noted(tmp_path: Path) -> None:
    (row,) = read_text(tmp_path, "conversations:\n- [Hello, Hi, Bye]\n")
    assert isinstance(row, Row)
    assert [message.content for message in row.messages] == ["Hello", "Hi"]
    assert row.meta == {"category": "talk", "unanswered_turns": 1}


def test_words_that_yaml_takes_for_values_stay_words(tmp_path: Path) -> None:
    (row,) = read_text(tmp_path, "conversations:\n- [Is it on?, Yes]\n")
    assert isinstance(row, Row)
    assert row.messages[1].content == "Yes"


@pytest.mark.parametrize(
    ("conversation", "reason"),
    [
        ("- Hello", "not a list of turns"),
        ("- [Hello]", "no answer"),
        ("- [Hello, answer: Hi]", "a turn is not text"),
    ],
)
def test_malformed_conversation_is_rejected_with_file_and_line(tmp_path: Path, conversation: str, reason: str) -> None:
    (row,) = read_text(tmp_path, f"conversations:\n{conversation}\n")
    assert isinstance(row, Rejected)
    assert row.place == "talk.yml:2"
    assert reason in row.reason


@pytest.mark.parametrize(
    "text",
    [
        "conversations: [",
        "- a list",
        "greetings: []",
        "conversations: none",
        "",
        "categories: AI\nconversations:\n- [Hello, Hi]",
        "categories: {AI: 1}\nconversations:\n- [Hello, Hi]",
        "categories: [[AI]]\nconversations:\n- [Hello, Hi]",
        "? [a]\n: b\nconversations:\n- [Hello, Hi]",
    ],
)
def test_file_that_is_no_corpus_is_named_in_one_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match=r"talk\.yml") as caught:
        read_text(tmp_path, text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("categories", ["categories:", "categories: []"])
def test_without_a_category_the_file_gives_its_name(tmp_path: Path, categories: str) -> None:
    (row,) = read_text(tmp_path, f"{categories}\nconversations:\n- [Hello, Hi]\n")
    assert isinstance(row, Row)
    assert row.meta == {"category": "talk"}


def test_whole_english_corpus_is_read_and_its_one_bad_conversation_found() -> None:
    rows = list(read(open_directory(ENGLISH), "."))
    assert len(rows) == 2026
    assert [row.place for row in rows if isinstance(row, Rejected)] == ["trivia.yml:35"]
