"""What a document of an evaluation asks and says itself, apart from the template that a harness puts it in."""

from collections.abc import Iterator, Mapping
from typing import Any

from storm_core.examples.words import words_of

# A field of fewer words that stands in the prompt may do so by chance: a letter, a name, a subject.
_FEWEST_WORDS = 3
# Unless it is called what a question is called.
_QUESTION_FIELDS = ("question", "query", "prompt", "problem", "instruction", "input", "goal")


def questions_of(document: Any, prompt: str) -> list[str]:
    """The fields of the document that the prompt shows whole: what is asked, and what it is asked about."""
    fields = document.items() if isinstance(document, Mapping) else ()
    shown = _spaced(prompt)
    return [text for name, text in fields if isinstance(text, str) and _asks(name, text) and _spaced(text) in shown]


def texts_of(document: Any) -> Iterator[str]:
    """Every text in the document, however deep in lists and mappings; the names of fields are none."""
    if isinstance(document, str):
        yield document
    elif isinstance(document, Mapping):
        for value in document.values():
            yield from texts_of(value)
    elif isinstance(document, list | tuple):
        for value in document:
            yield from texts_of(value)


def _asks(field: str, text: str) -> bool:
    return len(words_of(text)) >= (1 if field.lower() in _QUESTION_FIELDS else _FEWEST_WORDS)


def _spaced(text: str) -> str:
    """The words of the text between spaces, so that one text's are found in another's only as whole words."""
    return f" {' '.join(words_of(text))} "
