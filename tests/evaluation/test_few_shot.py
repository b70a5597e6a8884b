"""Tasks of lm-eval's own whose examples would come from the questions: each question is left out of its own."""

from typing import Any

import pytest
from datasets import Dataset
from lm_eval.api.task import ConfigurableTask

from storm_core.evaluation.few_shot import leave_out_own_question
from storm_core.evaluation.lm_eval_run import quiet
from tests.evaluation.test_definition import CHOICE, DOCUMENTS, task

OTHERS = [{**document, "question": f"Other {place}?"} for place, document in enumerate(DOCUMENTS)]


def own(splits: dict[str, str], **settings: Any) -> ConfigurableTask:
    """A task as lm-eval's files define them: by the names of the splits that it has."""
    data = {name: Dataset.from_list(OTHERS if name == "train" else DOCUMENTS) for name in splits.values()}
    config = {**CHOICE, **splits, **settings, "task": "theirs", "custom_dataset": lambda **_: data}
    with quiet():
        made = ConfigurableTask(config=config)
    made.set_fewshot_seed(1234)
    return made


def own_examples(made: ConfigurableTask, shots: int) -> int:
    """How many questions are among their own examples."""
    prompts = [made.fewshot_context(document, shots) for document in DOCUMENTS]
    assert all("Other" in prompt or prompt.count("What is") == shots + 1 for prompt in prompts)
    return sum(prompt.count(document["question"]) > 1 for prompt, document in zip(prompts, DOCUMENTS, strict=True))


@pytest.mark.parametrize(
    ("splits", "settings"),
    [
        ({"test_split": "test"}, {}),
        ({"validation_split": "dev"}, {}),
        ({"validation_split": "dev"}, {"fewshot_split": "dev"}),
        ({"test_split": "test"}, {"fewshot_split": "test"}),
        ({"test_split": "test"}, {"fewshot_config": {"sampler": "first_n"}}),
    ],
)
@pytest.mark.parametrize("given", ["by the benchmark", "by the task"])
def test_examples_from_the_questions_leave_out_the_question(
    splits: dict[str, str], settings: dict[str, Any], given: str
) -> None:
    shots = {"num_fewshot": 2 if given == "by the benchmark" else None}
    made = own(splits, **settings, num_fewshot=None if shots["num_fewshot"] else 2)
    leave_out_own_question(task(CHOICE, **shots), "theirs", made)
    assert own_examples(made, 2) == 0


def test_it_is_said_where_lm_eval_would_have_shown_the_question(capsys: pytest.CaptureFixture[str]) -> None:
    made = own({"test_split": "test"})
    assert own_examples(made, 3) > 0
    made = own({"test_split": "test"})
    leave_out_own_question(task(CHOICE, num_fewshot=3), "theirs", made)
    assert "quiz: the examples before the questions of theirs come from the questions" in capsys.readouterr().err


@pytest.mark.parametrize("splits", [{"test_split": "test", "training_split": "train"}])
@pytest.mark.parametrize("shots", [0, 2])
def test_examples_from_elsewhere_stay_as_they_are(
    splits: dict[str, str], shots: int, capsys: pytest.CaptureFixture[str]
) -> None:
    made = own(splits)
    before = [made.fewshot_context(document, shots) for document in DOCUMENTS]
    made = own(splits)
    leave_out_own_question(task(CHOICE, num_fewshot=shots), "theirs", made)
    assert [made.fewshot_context(document, shots) for document in DOCUMENTS] == before
    assert capsys.readouterr().err == ""
