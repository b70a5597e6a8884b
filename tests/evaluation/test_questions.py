"""Multiple-choice questions made from questions and answers."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storm_core.errors import InputError
from storm_core.evaluation.questions import multiple_choice, read_pairs

TRIVIA = Path(__file__).parents[2] / ".data" / "chatterbot_corpus" / "data" / "english" / "trivia.yml"
PAIRS = [(f"Which letter is number {place}?", letter) for place, letter in enumerate("ABCDEFGHIJ")]


@given(st.integers(0, 2**32), st.integers(1, 10), st.integers(1, 9))
def test_each_question_has_its_answer_among_different_choices(seed: int, samples: int, distractors: int) -> None:
    documents = multiple_choice(PAIRS, samples=samples, distractors=distractors, seed=seed)
    assert len(documents) == samples
    for document in documents:
        assert document["choices"][document["answer"]] == dict(PAIRS)[document["question"]]
        assert len(set(document["choices"])) == distractors + 1


def test_the_same_seed_draws_the_same_and_another_draws_otherwise() -> None:
    def draw(seed: int) -> object:
        return multiple_choice(PAIRS, samples=5, distractors=3, seed=seed)

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)


def test_a_questions_choices_do_not_depend_on_the_other_questions_drawn() -> None:
    everything = {d["question"]: d for d in multiple_choice(PAIRS, samples=10, distractors=3, seed=0)}
    for document in multiple_choice(PAIRS, samples=4, distractors=3, seed=0):
        assert everything[document["question"]] == document


def test_wrong_choices_look_like_the_answer() -> None:
    words = [(f"Who is {place}?", name) for place, name in enumerate(["Ada Lovelace", "Alan Turing", "Grace Hopper"])]
    years = [(f"When was {place}?", year) for place, year in enumerate(["1843", "1936", "1952"])]
    documents = multiple_choice(words + years, samples=6, distractors=2, seed=0)
    for document in documents:
        assert len({choice.isdigit() for choice in document["choices"]}) == 1


def test_an_answer_that_contains_the_right_one_is_no_wrong_choice() -> None:
    pairs = [
        ("Which fruit?", "Apple"),
        ("Which tree?", "Apple trees"),
        ("Which nut?", "Almond"),
        ("Which bean?", "Soy"),
    ]
    documents = multiple_choice(pairs, samples=4, distractors=2, seed=0)
    assert all(not {"Apple", "Apple trees"} <= set(document["choices"]) for document in documents)


def test_too_few_questions_or_answers_are_refused() -> None:
    with pytest.raises(InputError, match="11 questions are asked for, but there are only 10"):
        multiple_choice(PAIRS, samples=11, distractors=3, seed=0)
    with pytest.raises(InputError, match="10 wrong choices are asked for, but there are only 9 other answers"):
        multiple_choice(PAIRS, samples=10, distractors=10, seed=0)


def test_the_corpus_file_gives_questions_with_one_answer_each() -> None:
    pairs = read_pairs(TRIVIA)
    assert ("What is the largest planet in our solar system?", "Jupiter") in pairs
    assert len(pairs) > 200
    assert ("What was the name of the first artificial Earth satellite?", "Sputnik 1") in pairs
    assert all(question and answer == answer.strip() and not answer.endswith("..") for question, answer in pairs)


@pytest.mark.parametrize("text", ["conversations: 5", "- a\n- b", "[", ""])
def test_another_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.yml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"other\.yml"):
        read_pairs(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file"):
        read_pairs(tmp_path / "none.yml")
