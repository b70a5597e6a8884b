"""The `chatterbot` adapter: conversations of the ChatterBot corpus, YAML files with a list of turns each."""

from collections.abc import Iterator
from pathlib import Path

import yaml

from storm_core.artifacts import Artifact
from storm_core.errors import InputError
from storm_core.records import Message
from storm_core.sources.files.rows import Rejected, Row, files_under
from storm_core.yaml_documents import compose_yaml


def read(data: Artifact, path: str) -> Iterator[Row | Rejected]:
    """Conversations of the .yml and .yaml files at or below `path`; user and assistant take turns, the user first.

    A last turn of the user has no answer to learn from and is left out; `unanswered_turns` in the meta says so.

    Raises:
        InputError: there is no such file, or one is not a YAML mapping with a list of `conversations`, and one of
            `categories` where it has any.
    """
    for name, file in files_under(data, path, (".yml", ".yaml")):
        corpus = _compose(file)
        category = _category(file, corpus.get("categories")) or Path(name).stem
        for conversation in _conversations(file, corpus):
            place = f"{name}:{conversation.start_mark.line + 1}"
            yield _to_row(place, conversation, category)


def _compose(file: Path) -> dict[str, yaml.Node]:
    """The top mapping of a file. Nodes, not values: they keep their line, and their text as written (`Yes`, `1963`)."""
    root = compose_yaml(file.read_bytes(), str(file))
    if not isinstance(root, yaml.MappingNode):
        raise InputError(f"{file} does not hold a mapping with conversations; is it a ChatterBot corpus file?")
    if not all(isinstance(key, yaml.ScalarNode) for key, _ in root.value):
        raise InputError(f"{file} has a key that is not text; is it a ChatterBot corpus file?")
    return {key.value: value for key, value in root.value}


def _category(file: Path, categories: yaml.Node | None) -> str:
    """The first of the categories; empty where there is none."""
    if categories is None or not categories.value:
        return ""
    if not isinstance(categories, yaml.SequenceNode) or not isinstance(categories.value[0], yaml.ScalarNode):
        raise InputError(f"{file}: categories is not a list of names; write it as in `categories: [AI]`")
    category: str = categories.value[0].value
    return category


def _conversations(file: Path, corpus: dict[str, yaml.Node]) -> list[yaml.Node]:
    node = corpus.get("conversations")
    if not isinstance(node, yaml.SequenceNode):
        raise InputError(f"{file} has no list of conversations; is it a ChatterBot corpus file?")
    conversations: list[yaml.Node] = node.value
    return conversations


def _to_row(place: str, conversation: yaml.Node, category: str) -> Row | Rejected:
    if not isinstance(conversation, yaml.SequenceNode):
        return Rejected(place=place, reason="the conversation is not a list of turns")
    if not all(isinstance(turn, yaml.ScalarNode) for turn in conversation.value):
        return Rejected(place=place, reason="a turn is not text; does it need quotes?")
    turns = [turn.value for turn in conversation.value]
    answered = len(turns) - len(turns) % 2
    if not answered:
        return Rejected(place=place, reason="no answer in the conversation")
    messages = tuple(
        Message(role="assistant" if position % 2 else "user", content=text)
        for position, text in enumerate(turns[:answered])
    )
    meta = {"category": category}
    return Row(place=place, messages=messages, meta=meta if answered == len(turns) else {**meta, "unanswered_turns": 1})
