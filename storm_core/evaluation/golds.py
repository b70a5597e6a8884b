"""Whether the questions of a task of lm-eval have right answers: lm-eval gives 0 where one has none, and goes on."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from storm_core.errors import InputError
from storm_core.progress import report

if TYPE_CHECKING:
    from lm_eval.api.task import ConfigurableTask, Task

_MOST_CHARACTERS = 120


def check_golds(benchmark: str, name: str, task: "Task") -> None:
    """Say how many questions of lm-eval's task `name` have no right answer, whose data are not the user's to mend.

    Raises:
        InputError: none has one.
    """
    from lm_eval.api.task import ConfigurableTask

    # Who computes the score by a function of its own may take the right answer from anywhere.
    if not isinstance(task, ConfigurableTask) or task.config.process_results is not None:
        return
    documents = list(task.eval_docs)
    wrong = list(wrong_golds(task, documents))
    if not wrong:
        return
    said = f"{benchmark}: {len(wrong)} of {len(documents)} questions of {name} have no right answer: {wrong[0]}"
    if len(wrong) == len(documents):
        raise InputError(f"{said}; its data are not those that the task is for")
    report(f"{said}; to lm-eval every answer to them is wrong")


def wrong_golds(task: "ConfigurableTask", documents: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    """Of each question without a right answer which it is, and what is in the place of the answer."""
    first_is_list: bool | None = None
    for number, document in enumerate(documents, start=1):
        key, gold, choices = _answer(task, document)
        first_is_list = isinstance(gold, list) if first_is_list is None else first_is_list
        reason = _reason(task.config.output_type, gold, choices, first_is_list)
        if reason:
            yield f"question {number} ({_short(_question(task, document))}): {key} gives {_short(gold)}, {reason}"


def never_wrong(task: "ConfigurableTask", documents: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    """Of each question to which every choice is a right answer which it is, and what the choices are."""
    for number, document in enumerate(documents, start=1):
        key, gold, choices = _answer(task, document)
        right = set(gold) if isinstance(gold, list) else {gold}
        if task.config.output_type == "multiple_choice" and right >= set(range(len(choices))):
            asked = _short(_question(task, document))
            yield f"question {number} ({asked}): {key} gives {_short(gold)}, so that each of {_short(choices)} is right"


def _answer(task: "ConfigurableTask", document: Mapping[str, Any]) -> tuple[str, Any, Any]:
    """The key of the definition that says which answer is right, what it says, and the choices; None for no choices."""
    kind = task.config.output_type
    has_choices = task.config.doc_to_choice is not None and kind in ("multiple_choice", "generate_until")
    choices = task.doc_to_choice(document) if has_choices else None
    if kind == "multiple_choice" and isinstance(number := task.doc_to_text(document), int):
        # The choices are different questions with one answer, as in Winogrande.
        return "doc_to_text", number, choices
    return "doc_to_target", task.doc_to_target(document), choices


def _reason(kind: str, gold: Any, choices: Any, first_is_list: bool) -> str:
    """Why lm-eval can take no answer for right; empty where it can."""
    golds = gold if isinstance(gold, list) else [gold]
    if not golds:
        return "an empty list"
    if isinstance(gold, list) != first_is_list and not (first_is_list and kind == "generate_until"):
        return f"and the first question has {'a list' if first_is_list else 'no list'}"
    if choices is None:
        return "which is no text" if any(one is None or str(one).strip() == "" for one in golds) else ""
    if not isinstance(choices, list) or not choices or not all(isinstance(one, str) and one for one in choices):
        return f"and doc_to_choice {_short(choices)}, which is no list of texts"
    by_text = kind == "multiple_choice" and not isinstance(gold, list)
    if all(_is_choice(one, choices, by_text) for one in golds):
        return _reason_not_chosen(kind, golds, choices)
    texts = ", or one of their texts" if by_text else ""
    return f"and the choices are {_short(choices)}: wanted is a number from 0 to {len(choices) - 1}{texts}"


def _reason_not_chosen(kind: str, golds: list[Any], choices: list[str]) -> str:
    """Of equal choices lm-eval takes the first for the model's, so that another one is never right."""
    places = [choices.index(gold) if isinstance(gold, str) else int(gold) for gold in golds]
    if kind != "multiple_choice" or any(choices.index(choices[place]) == place for place in places):
        return ""
    return f"and the choices are {_short(choices)}: the same text comes before it, and counts as the model's answer"


def _is_choice(gold: Any, choices: list[str], by_text: bool) -> bool:
    if isinstance(gold, str):
        return by_text and gold in choices
    # lm-eval takes 1.0 for 1, and data that had gaps hold such numbers. A negative one counts from no end.
    return isinstance(gold, int | float) and not isinstance(gold, bool) and gold in range(len(choices))


def _question(task: "ConfigurableTask", document: Mapping[str, Any]) -> Any:
    text = task.doc_to_text(document)
    return document.get("question", document) if isinstance(text, int) else text


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}..."
