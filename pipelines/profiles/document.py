"""YAML in which nothing is said twice."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from pipelines.profiles.kinds import join
from storm_core.errors import InputError

# Python itself refuses to show an integer of thousands of digits.
_LONGEST_NUMBER = 40


def read_document(path: Path) -> Any:
    """What the YAML file at `path` holds.

    Raises:
        InputError: it cannot be read, is not YAML, or gives a key twice; PyYAML would take the last one silently.
    """
    try:
        return _parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read the profile {path}: {error.strerror}") from error
    except RecursionError as error:
        raise InputError(f"{path} is nested too deeply") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date or a number that is none, or no UTF-8
        raise InputError(f"{path} is not YAML: {' '.join(str(error).split())}") from error


def _parse(text: str) -> Any:
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return None
        for node in _nodes(root, set()):
            if isinstance(node, yaml.MappingNode):
                _refuse_repeated(node)
            elif node.tag.endswith(":int") and len(node.value) > _LONGEST_NUMBER:
                raise InputError(f"line {node.start_mark.line + 1}: that number is too long")
        return loader.construct_document(root)
    finally:
        loader.dispose()


def _nodes(node: yaml.Node, seen: set[int]) -> Iterator[yaml.Node]:
    """Every node of the tree, each once, though aliases lead to it again."""
    if id(node) in seen:
        return
    seen.add(id(node))
    yield node
    for part in node.value if isinstance(node, yaml.CollectionNode) else []:
        for inner in part if isinstance(part, tuple) else [part]:
            yield from _nodes(inner, seen)


def _refuse_repeated(mapping: yaml.MappingNode) -> None:
    lines: dict[tuple[str, str], int] = {}
    for key, _ in mapping.value:
        if isinstance(key, yaml.ScalarNode):
            name, line = (key.tag, key.value), key.start_mark.line + 1
            if name in lines:
                raise InputError(f"{join('', key.value)} is given twice, in line {lines[name]} and in line {line}")
            lines[name] = line
