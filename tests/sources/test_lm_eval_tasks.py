from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from storm_core.artifacts import Artifact
from storm_core.errors import InputError
from storm_core.examples.words import WordHashes
from storm_core.manifest import Manifest
from storm_core.records import Message, make_example
from storm_core.sources.decontamination.held_out import HeldOut
from storm_core.sources.files.rows import Row
from storm_core.sources.formats import lm_eval_tasks
from storm_core.sources.formats.lm_eval_tasks import read

NO_DATA = Artifact(path=Path(), manifest=Manifest(kind="", files=(), digest=""))
FRUIT: dict[str, Any] = {"id": "f1", "question": "Which is a fruit?", "choices": ["apple", "stone"], "answer": 0}
CHOOSE = {"output_type": "multiple_choice", "doc_to_choice": "choices"}
# TruthfulQA shows its questions behind six others, ARC shows them so.
PREAMBLE = "Q: How does a telescope work?\\nA: Telescopes use lenses or mirrors to make objects appear closer.\\n\\n"
ARC = "Question: {{question}}\nAnswer:"


@pytest.fixture
def read_task(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Row]]:
    """Read a task of lm-eval's own class over documents in memory."""

    def read_local(*documents: dict[str, Any], **definition: Any) -> list[Row]:
        from datasets import Dataset
        from lm_eval.tasks import TaskManager

        config = {
            "task": "fruit",
            "custom_dataset": lambda **_: {"test": Dataset.from_list(list(documents))},
            "test_split": "test",
            "doc_to_text": "Q: {{question}}",
            "doc_to_target": "answer",
            **definition,
        }
        tasks = dict(TaskManager(include_defaults=False).load(config)["tasks"])
        monkeypatch.setattr(lm_eval_tasks, "_load", lambda path: tasks)
        return [row for row in read(NO_DATA, "fruit") if isinstance(row, Row)]

    return read_local


def dropped(rows: list[Row], question: str, answer: str = "It is so.") -> str | None:
    """Why a training example would be dropped that asks and answers this."""
    hashes = WordHashes()
    held_out = HeldOut(13, hashes)
    for row in rows:
        held_out.add("fruit", make_example("fruit", row.messages, {**row.meta, "place": row.place}))
    messages = (Message(role="user", content=question), Message(role="assistant", content=answer))
    training = make_example("chat", messages, {"place": "chat.jsonl:1"})
    found = held_out.overlap(training, [hashes.split(message.content) for message in messages])
    return found[0] if found else None


@pytest.mark.parametrize(
    ("definition", "replies"),
    [
        (CHOOSE, ["apple", "stone"]),
        ({"output_type": "generate_until", "doc_to_target": "{{choices[answer]}}"}, ["apple"]),
        ({"output_type": "generate_until", "doc_to_target": "choices"}, ["apple", "stone"]),
    ],
)
def test_prompt_and_each_choice_or_answer_of_a_document_are_read(
    read_task: Callable[..., list[Row]], definition: dict[str, Any], replies: list[str]
) -> None:
    (row,) = read_task(FRUIT, **definition)
    assert row.place == "fruit:1"
    assert [(message.role, message.content) for message in row.messages] == [
        ("user", "Q: Which is a fruit?"),
        *(("assistant", reply) for reply in replies),
    ]
    assert row.meta == {"questions": ["Which is a fruit?"], "texts": ["f1", "Which is a fruit?", "apple", "stone"]}


@pytest.mark.parametrize("template", [ARC, PREAMBLE + "Q: {{question}}\nA:"])
def test_short_question_is_held_out_without_the_template_it_is_shown_in(
    read_task: Callable[..., list[Row]], template: str
) -> None:
    longer = {**FRUIT, "question": "Which of these two things grows on a tree, then?"}
    rows = read_task(FRUIT, longer, **CHOOSE, doc_to_text=template)
    assert dropped(rows, "which is a FRUIT") == "held_out_question"
    assert dropped(rows, "Tell me", f"You ask: {longer['question']} An apple.") == "contaminated"
    assert dropped(rows, "Which is a stone?") is None


def test_ids_letters_and_names_hold_out_nothing(read_task: Callable[..., list[Row]]) -> None:
    rows = read_task({**FRUIT, "subject": "fruit", "key": "a"}, **CHOOSE)
    assert not any(dropped(rows, text) for text in ("f1", "fruit", "A", "apple", "stone"))


def test_choices_are_compared_each_for_itself(read_task: Callable[..., list[Row]]) -> None:
    letters = [*"ABCDEFGHIJ"]
    long = "a choice that says as much as eight words"
    rows = read_task({**FRUIT, "choices": [*letters, long]}, **CHOOSE)
    assert dropped(rows, "Write a sum", "def total(a, b, c, d, e, f, g, h, i, j): ...") is None
    assert dropped(rows, "Write", f"It is {long}.") == "contaminated"


def test_prompt_that_is_the_number_of_a_choice_is_that_choice(read_task: Callable[..., list[Row]]) -> None:
    document = {"sentence": "Ann saw Eve since _ waved.", "choices": ["Ann saw Eve since Ann", "Ann saw Eve since Eve"]}
    (row,) = read_task(document, **CHOOSE, doc_to_text=lambda _: 1, doc_to_target=lambda _: "waved.")
    assert row.messages[0].content == "Ann saw Eve since Eve"
    assert "Ann saw Eve since _ waved." in row.meta["texts"]
    assert dropped([row], "1") is None


def test_choice_that_shows_nothing_is_left_out(read_task: Callable[..., list[Row]]) -> None:
    (row,) = read_task({**FRUIT, "choices": ["apple", " "]}, **CHOOSE)
    assert [message.content for message in row.messages[1:]] == ["apple"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "reason"),
    [("no_such_task", "lm-eval has no task"), ("arc_challenge", "the data of arc_challenge cannot be had")],
)
def test_task_that_cannot_be_had_is_named(
    task: str, reason: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(InputError, match=reason):
        list(read(NO_DATA, task))
