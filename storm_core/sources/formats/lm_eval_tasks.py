"""The `lm_eval` adapter: the questions of a task of lm-eval's, which are there to be held out."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from storm_core.artifacts import Artifact
from storm_core.errors import InputError, first_line
from storm_core.evaluation.own_tasks import own_tasks
from storm_core.records import Message
from storm_core.sources.files.rows import QUESTIONS, TEXTS, Rejected, Row
from storm_core.sources.formats.lm_eval_documents import questions_of, texts_of

if TYPE_CHECKING:
    from lm_eval.api.task import Task


def read(data: Artifact, path: str) -> Iterator[Row | Rejected]:
    """Every document of the task or group called `path`, as the harness shows it and as it is.

    The messages are the prompt and, each for itself, the choices or right answers. The meta has what the document asks
    and says without the prompt's template.

    `data` is not looked at: lm-eval finds its data sets in the Hugging Face cache, or on the hub.

    Raises:
        InputError: lm-eval is not installed, has no such task, or the task's data cannot be had.
    """
    for name, task in sorted(_load(path).items()):
        try:
            documents = list(task.eval_docs)
        except (ConnectionError, OSError, ValueError) as error:
            raise InputError(f"the data of {name} cannot be had: {first_line(error)}") from error
        for number, document in enumerate(documents, start=1):
            yield _to_row(f"{name}:{number}", task, document)


def _load(path: str) -> dict[str, "Task"]:
    try:
        tasks = own_tasks()
    except ImportError as error:
        raise InputError(f"lm_eval:{path} needs the extra `evaluation`: {error}") from error
    if path not in tasks.all_tasks:
        raise InputError(f"lm-eval has no task {path!r}")
    try:
        loaded: dict[str, Task] = tasks.load(path)["tasks"]
    except (ConnectionError, OSError, ValueError) as error:
        raise InputError(f"the data of {path} cannot be had: {first_line(error)}") from error
    return loaded


def _to_row(place: str, task: "Task", document: Any) -> Row:
    replies = _replies(task, document)
    prompt = task.doc_to_text(document)
    # Where the choices are what comes before one and the same answer, the prompt is the number of one.
    prompt = replies[prompt] if prompt in range(len(replies)) else str(prompt)
    # One that shows nothing is no reply, unless it is all there is.
    shown = [reply for reply in replies if reply.strip()] or [""]
    return Row(
        place=place,
        messages=(Message(role="user", content=prompt), *(Message(role="assistant", content=text) for text in shown)),
        meta={QUESTIONS: questions_of(document, prompt), TEXTS: list(texts_of(document))},
    )


def _replies(task: "Task", document: Any) -> list[str]:
    """The choices where there are any; else what the harness takes for right answers."""
    if task.OUTPUT_TYPE == "multiple_choice":
        return [str(choice) for choice in task.doc_to_choice(document)]
    target = task.doc_to_target(document)
    return [str(each) for each in target] if isinstance(target, list) else [str(target)]
