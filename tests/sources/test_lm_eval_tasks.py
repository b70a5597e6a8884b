from pathlib import Path
from typing import Any

import pytest

from storm_core.artifacts import Artifact, Manifest
from storm_core.errors import InputError
from storm_core.sources import lm_eval_tasks
from storm_core.sources.lm_eval_tasks import read
from storm_core.sources.rows import Row

NO_DATA = Artifact(path=Path(), manifest=Manifest(kind="", files=(), digest=""))
DOCUMENTS = [{"question": "Which is a fruit?", "choices": ["apple", "stone"], "answer": 0}]


def local_task(**definition: Any) -> dict[str, Any]:
    """Tasks of lm-eval's own class over documents in memory."""
    from datasets import Dataset
    from lm_eval.tasks import TaskManager

    config = {
        "task": "fruit",
        "custom_dataset": lambda **_: {"test": Dataset.from_list(DOCUMENTS)},
        "test_split": "test",
        "doc_to_text": "Q: {{question}}",
        "doc_to_target": "answer",
        **definition,
    }
    return dict(TaskManager(include_defaults=False).load(config)["tasks"])


@pytest.mark.parametrize(
    ("definition", "answer"),
    [
        ({"output_type": "multiple_choice", "doc_to_choice": "choices"}, "apple\nstone"),
        ({"output_type": "generate_until", "doc_to_target": "{{choices[answer]}}"}, "apple"),
    ],
)
def test_question_and_choices_or_answer_of_each_document_are_read(
    monkeypatch: pytest.MonkeyPatch, definition: dict[str, Any], answer: str
) -> None:
    tasks = local_task(**definition)
    monkeypatch.setattr(lm_eval_tasks, "_load", lambda path: tasks)
    (row,) = read(NO_DATA, "fruit")
    assert isinstance(row, Row)
    assert row.place == "fruit:1"
    assert [message.content for message in row.messages] == ["Q: Which is a fruit?", answer]


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
