"""Multiple-choice questions from pairs of question and answer; the wrong choices are other questions' answers."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from storm_core.errors import InputError


def multiple_choice(
    pairs: Sequence[tuple[str, str]], *, samples: int, distractors: int, seed: int
) -> list[dict[str, Any]]:
    """`samples` of the questions in the order of `pairs`, each with its answer among `distractors` others.

    Returns:
        Documents `{"question": text, "choices": texts, "answer": index of the right one}`.

    Raises:
        InputError: there are fewer questions than asked for, or not enough different answers.
    """
    if len(pairs) < samples:
        raise InputError(f"{samples} questions are asked for, but there are only {len(pairs)}")
    drawn = sorted(random.Random(seed).sample(range(len(pairs)), samples))  # noqa: S311 (not a secret)
    answers = list(dict.fromkeys(answer for _, answer in pairs))
    return [_document(*pairs[place], answers, distractors, seed) for place in drawn]


def read_pairs(path: Path) -> list[tuple[str, str]]:
    """Question and answer of each conversation in a chatterbot-corpus file; those of another length are left out.

    Raises:
        InputError: there is no such file, or it is not of that form.
    """
    if not path.is_file():
        raise InputError(f"no file {path}; the suite's paths are relative to the data")
    try:
        corpus = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: no UTF-8, or no date or number
        raise InputError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    conversations = corpus.get("conversations") if isinstance(corpus, dict) else None
    if not isinstance(conversations, list):
        raise InputError(f"{path} has no list of conversations; is it a chatterbot-corpus file?")
    pairs = [turns for turns in conversations if isinstance(turns, list) and len(turns) == 2]
    return [(" ".join(str(question).split()), _tidy(str(answer))) for question, answer in pairs]


def _tidy(answer: str) -> str:
    """The answer without outer white space and full stop, so that no choice stands out by its punctuation."""
    return " ".join(answer.split()).removesuffix(".")


def _document(question: str, answer: str, answers: Sequence[str], distractors: int, seed: int) -> dict[str, Any]:
    # Seeded by the question, so that its choices do not depend on which other questions were drawn.
    generator = random.Random(f"{seed}:{question}")  # noqa: S311 (not a secret)
    others = [other for other in answers if not _same(other, answer)]
    if len(others) < distractors:
        raise InputError(f"{distractors} wrong choices are asked for, but there are only {len(others)} other answers")
    generator.shuffle(others)
    others.sort(key=lambda other: _unlikeness(other, answer))
    choices = [answer, *others[:distractors]]
    generator.shuffle(choices)
    return {"question": question, "choices": choices, "answer": choices.index(answer)}


def _same(other: str, answer: str) -> bool:
    """Whether one contains the other: `Hydrogen`/`hydrogen`, `Apple`/`Apple Trees`."""
    return other.casefold() in answer.casefold() or answer.casefold() in other.casefold()


def _unlikeness(other: str, answer: str) -> tuple[bool, int, int]:
    """How unlike two answers look: number against words, then difference in words, then in characters."""
    numbers_differ = other.isdigit() != answer.isdigit()
    return numbers_differ, abs(len(other.split()) - len(answer.split())), abs(len(other) - len(answer))
