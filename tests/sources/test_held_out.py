import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storm_core.records import Example, Message, make_example
from storm_core.sources.held_out import HeldOut, normalise_question


def example(*turns: str, tools: tuple[str, ...] = ()) -> Example:
    roles = ("user", "assistant") * len(turns)
    messages = [Message(role=role, content=text) for role, text in zip(roles, turns, strict=False)]
    return make_example("chat", messages, {"tools": list(tools)} if tools else {})


@pytest.fixture
def held_out() -> HeldOut:
    held = HeldOut()
    held.add(example("Hello", "Hi", "Where is the Café?", "There.", tools=("find_place",)))
    return held


def test_same_question_in_other_dress_is_held_out(held_out: HeldOut) -> None:
    question = unicodedata.normalize("NFD", "  WHERE is\nthe CAFÉ? ")
    assert held_out.overlap(example(question, "Here.")) == "held_out_question"


def test_held_out_question_in_mid_conversation_is_found(held_out: HeldOut) -> None:
    assert held_out.overlap(example("where is the café?", "There.", "Thanks", "Welcome")) == "held_out_question"


def test_only_the_last_question_of_evaluation_data_is_held_out(held_out: HeldOut) -> None:
    assert held_out.overlap(example("Hello", "Hi")) is None


def test_held_out_tool_is_found_under_another_question(held_out: HeldOut) -> None:
    assert held_out.overlap(example("Find Rome", "-", tools=("other", "find_place"))) == "held_out_tool"
    assert held_out.overlap(example("Find Rome", "-", tools=("other",))) is None


@given(st.text())
def test_normalising_forgets_composition_and_white_space_and_is_stable(text: str) -> None:
    normal = normalise_question(text)
    assert normalise_question(unicodedata.normalize("NFD", text)) == normal
    assert normalise_question(unicodedata.normalize("NFC", text)) == normal
    assert normalise_question(f"\n {text} \t") == normal
