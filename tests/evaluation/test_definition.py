"""A local task whose right answers are none is refused before the model is loaded, naming benchmark, key and value."""

import logging
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storm_core.errors import InputError
from storm_core.evaluation.definition import check_definition, local_task
from storm_core.evaluation.golds import check_golds
from storm_core.evaluation.suite import LmEval, Questions

CHOICES = ["fox", "dog", "Paris city"]
DOCUMENTS: list[dict[str, Any]] = [
    {"question": f"What is {place}?", "choices": CHOICES, "answer": place % 3} for place in range(4)
]
CHOICE: dict[str, Any] = {
    "output_type": "multiple_choice",
    "doc_to_text": "{{question}}",
    "doc_to_choice": "{{choices}}",
    "doc_to_target": "{{answer}}",
}
REPLY: dict[str, Any] = {"output_type": "generate_until", "doc_to_text": "question", "doc_to_target": "{{choices[0]}}"}
EXACT = {"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}


def task(definition: dict[str, Any], **changes: Any) -> LmEval:
    questions = Questions(path="-", samples=4, distractors=2, definition=definition)
    metric = "acc" if definition.get("output_type") == "multiple_choice" else "exact_match"
    settings = {"name": "quiz", "title": "Quiz", "task": "storm_quiz", "metric": metric, "apply_chat_template": True}
    settings |= {"fewshot_as_multiturn": False, "batch_size": 4, "num_fewshot": 0, "questions": questions}
    return LmEval(**{**settings, **changes})


def refusal(definition: dict[str, Any], documents: list[dict[str, Any]] = DOCUMENTS, **changes: Any) -> str:
    with pytest.raises(InputError) as caught:
        check_definition(task(definition, **changes), documents)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture(autouse=True)
def _no_log() -> Any:
    logger = logging.getLogger("lm_eval")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(level)


@pytest.mark.parametrize(
    "target",
    ["answer", "{{answer}}", 1, "{{choices[answer]}}", "{{[answer, 0]}}", "{{[answer]}}", "fox"],
)
def test_answers_that_are_choices_are_taken(target: Any) -> None:
    check_definition(task({**CHOICE, "doc_to_target": target}), DOCUMENTS)


@pytest.mark.parametrize(
    ("target", "value"),
    [
        ("gold", "'gold'"),
        ("{{answer + 1}}", "3"),
        ("{{answer - 1}}", "'-1'"),
        ("{{choices[answer]|upper}}", "'FOX'"),
        ("{{choices[answer]}}.", "'fox.'"),
        (3, "3"),
        (-1, "-1"),
        ("{{[]}}", "[], an empty list"),
        ("{{[answer, 7]}}", "[0, 7]"),
        ("{{[choices[answer]]}}", "['fox']"),
        ("{{[answer] if answer else answer}}", "[1], and the first question has no list"),
        ("{{answer}}.5", "'0.5'"),
        ("{{answer * 1.0}}", "'0.0'"),
        ("", "''"),
    ],
)
def test_answer_that_is_no_choice_is_named_with_its_question(target: Any, value: str) -> None:
    said = refusal({**CHOICE, "doc_to_target": target})
    assert said.startswith("quiz: definition: question ")
    assert "('What is " in said
    assert f"doc_to_target gives {value}" in said


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.sampled_from(CHOICES), min_size=2, max_size=5),
    st.integers(-3, 8) | st.text(max_size=3) | st.none() | st.lists(st.integers(-2, 6), max_size=3),
)
def test_every_answer_is_a_choice_or_refused(choices: list[str], answer: Any) -> None:
    documents = [{"question": "Which?", "choices": choices, "answer": answer}] * 2
    right = answer if isinstance(answer, list) else [answer]
    can_be_right = bool(right) and all(one in range(len(choices)) for one in right)
    # Of equal choices the first counts; and where all are right, no answer is wrong.
    can_be_right = can_be_right and any(choices.index(choices[one]) == one for one in right)
    can_be_right = can_be_right and not set(right) >= set(range(len(choices)))
    benchmark = task({**CHOICE, "doc_to_target": "answer"})
    if can_be_right:
        check_definition(benchmark, documents)
    else:
        with pytest.raises(InputError, match=r"quiz: definition: question 1 .*doc_to_target gives"):
            check_definition(benchmark, documents)


@pytest.mark.parametrize("target", ["{{choices[answer]}}", "answer", "{{choices}}", "{{question}}!"])
def test_reply_that_can_be_right_is_taken(target: str) -> None:
    check_definition(task({**REPLY, "doc_to_target": target, "metric_list": [EXACT]}), DOCUMENTS)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"doc_to_target": "gold"}, "definition, doc_to_target is the same text for all questions, 'gold'"),
        ({"doc_to_text": "questoin"}, "definition, doc_to_text is the same text for all questions, 'questoin'"),
        ({"doc_to_target": "{{gold}}"}, "definition, doc_to_target cannot be made of question 1 ('What is 0?')"),
        ({"doc_to_target": "{{choices[answer + 1]}}"}, "cannot be made of question 3 ('What is 2?')"),
        ({"doc_to_text": "{{question"}, "definition, doc_to_text cannot be made of question 1"),
        ({"doc_to_target": "{{'' if answer else 'fox'}}"}, "question 2 ('What is 1?'): doc_to_target gives '', which"),
        ({"doc_to_target": "{{[]}}"}, "doc_to_target gives [], an empty list"),
        ({"doc_to_choice": "{{choices}}"}, "doc_to_target gives 'fox', and the choices are"),
        ({"doc_to_choice": "{{choices}}", "doc_to_target": -1}, "doc_to_target gives -1, and the choices are"),
        ({"doc_to_target": None}, "definition lacks the setting 'doc_to_target', which generate_until needs"),
    ],
)
def test_reply_that_cannot_be_right_is_refused(changes: dict[str, Any], said: str) -> None:
    assert said in refusal({**REPLY, "metric_list": [EXACT], **changes})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"doc_to_txt": "{{question}}"}, "definition has the unknown setting 'doc_to_txt'; lm-eval's are task"),
        ({"output_type": "multiple-choice"}, "definition, output_type must be one of multiple_choice, generate_until"),
        ({"doc_to_choice": None}, "definition lacks the setting 'doc_to_choice'"),
        ({"doc_to_choice": "choces"}, "definition, doc_to_choice cannot be made of question 1"),
        ({"doc_to_choice": "{{question}}"}, "definition, doc_to_choice cannot be made of question 1"),
        ({"doc_to_choice": "answer"}, "and doc_to_choice 0, which is no list of texts"),
        ({"doc_to_choice": "{{choices + ['']}}"}, "which is no list of texts"),
        ({"fewshot_split": "train"}, "definition, fewshot_split must be 'test'"),
        ({"metric_list": "acc"}, "definition, metric_list must be a list of mappings"),
        ({"metric_list": [{"metric": "accuracy"}]}, "metric_list: unknown metric 'accuracy'; lm-eval's are acc"),
        ({"metric_list": [{"metric": "acc", "aggregation": "meen"}]}, "metric_list: unknown aggregation 'meen'"),
        ({"filter_list": [{"name": "a", "filter": [{"function": "take_last"}]}]}, "definition is no task of lm-eval"),
        ({"filter_list": [{"filter": []}]}, "definition is no task of lm-eval: KeyError: 'name'"),
        ({"metric_list": [EXACT]}, "storm_quiz has no metric 'acc'; it has exact_match"),
    ],
)
def test_mistake_in_a_definition_is_one_line_with_benchmark_and_key(changes: dict[str, Any], said: str) -> None:
    assert said in refusal({**CHOICE, **changes})


def loaded(golds: list[Any]) -> Callable[[], None]:
    from lm_eval.api.task import ConfigurableTask

    documents = [{**document, "answer": gold} for document, gold in zip(DOCUMENTS, golds, strict=True)]
    made = ConfigurableTask(config=local_task(task({**CHOICE, "doc_to_target": "answer"}), documents))
    return lambda: check_golds("quiz", "some_task", made)


def test_some_questions_of_lm_evals_own_without_an_answer_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    loaded([0, 1, 2, 0])()
    assert capsys.readouterr().err == ""
    loaded([0, -1, 2, -1])()
    assert "quiz: 2 of 4 questions of some_task have no right answer: question 2 (" in capsys.readouterr().err


def test_task_of_lm_evals_own_without_any_answer_is_refused() -> None:
    with pytest.raises(InputError, match="quiz: 4 of 4 questions of some_task have no right answer"):
        loaded([-1, -1, -1, -1])()
