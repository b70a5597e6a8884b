import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storm_core.examples.words import WordHashes, Words
from storm_core.records import Example, Message, make_example
from storm_core.sources.decontamination.held_out import HeldOut, normalise_question
from storm_core.sources.decontamination.overlap import Match
from storm_core.sources.files.rows import QUESTIONS, TEXTS


def example(*turns: str, tools: tuple[str, ...] = (), **more: list[str]) -> Example:
    roles = ("user", "assistant") * len(turns)
    messages = [Message(role=role, content=text) for role, text in zip(roles, turns, strict=False)]
    meta = {"place": "chat.jsonl:1", **more}
    return make_example("chat", messages, {**meta, "tools": list(tools)} if tools else meta)


def overlap(held_out: HeldOut, training: Example) -> str | None:
    found = held_out.overlap(training, split(training))
    return found[0] if found else None


def split(one: Example) -> list[Words]:
    hashes = WordHashes()
    return [hashes.split(message.content) for message in one.messages]


@pytest.fixture
def held_out() -> HeldOut:
    return holding(example("Hello", "Hi", "Where is the Café?", "There.", tools=("find_place",)))


def holding(item: Example) -> HeldOut:
    held = HeldOut(13, WordHashes())
    held.add("places", item)
    return held


def test_same_question_in_other_dress_is_held_out(held_out: HeldOut) -> None:
    question = unicodedata.normalize("NFD", "  WHERE is\nthe CAFÉ? ")
    assert overlap(held_out, example(question, "Here.")) == "held_out_question"


@pytest.mark.parametrize(
    "question", ["where is the café", "Where is: the -- café?!", "Whe\u00adre is\u200b the cafe\u0301?"]
)
def test_same_question_without_its_punctuation_or_with_marks_that_do_not_show_is_held_out(
    held_out: HeldOut, question: str
) -> None:
    assert overlap(held_out, example(question, "Here.")) == "held_out_question"


def test_questions_without_any_word_are_compared_by_what_they_have() -> None:
    held_out = holding(example("?!", "Yes."))
    assert overlap(held_out, example(" ?!\n", "Yes.")) == "held_out_question"
    assert overlap(held_out, example("...", "Yes.")) is None


def test_questions_and_texts_besides_the_messages_are_held_out() -> None:
    text = " ".join(f"w{number}" for number in range(8))
    besides: dict[str, Any] = {QUESTIONS: ["Why?"], TEXTS: [text]}
    held_out = holding(example("Question: Why?\nAnswer:", "So.", **besides))
    assert overlap(held_out, example("why", "Because.")) == "held_out_question"
    assert overlap(held_out, example("Question: why? Answer:", "Because.")) == "held_out_question"
    assert overlap(held_out, example("Go on", f"Well, {text}.")) == "contaminated"


def test_held_out_question_in_mid_conversation_is_found(held_out: HeldOut) -> None:
    assert overlap(held_out, example("where is the café?", "There.", "Thanks", "Welcome")) == "held_out_question"


def test_only_the_last_question_of_evaluation_data_is_held_out(held_out: HeldOut) -> None:
    assert overlap(held_out, example("Hello", "Hi")) is None


def test_held_out_tool_is_found_under_another_question(held_out: HeldOut) -> None:
    assert overlap(held_out, example("Find Rome", "-", tools=("other", "find_place"))) == "held_out_tool"
    assert overlap(held_out, example("Find Rome", "-", tools=("other",))) is None


def test_overlap_names_the_evaluation_and_its_item(held_out: HeldOut) -> None:
    training = example("where is the café?", "There.")
    assert held_out.overlap(training, split(training)) == (
        "held_out_question",
        [Match(evaluation="places", place="chat.jsonl:1", text="where is the café?")],
    )


@given(st.text())
def test_normalising_forgets_composition_and_white_space_and_is_stable(text: str) -> None:
    normal = normalise_question(text)
    assert normalise_question(unicodedata.normalize("NFD", text)) == normal
    assert normalise_question(unicodedata.normalize("NFC", text)) == normal
    assert normalise_question(f"\n {text} \t") == normal
