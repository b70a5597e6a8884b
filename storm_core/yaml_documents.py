"""YAML as every part of this project reads it: nothing is said twice, and values are those of YAML 1.2's core schema.

So `1e-4` is a number, `010` is ten, and `on`, `yes`, `12:30`, `1_000` and `2026-01-02` are text. PyYAML by itself
follows YAML 1.1, and takes the last of two values for one key without a word. Of 1.1 merge keys (`<<`) are understood.
"""

import contextlib
import re
import reprlib
from collections.abc import Iterator
from typing import Any, ClassVar

import yaml
from yaml._yaml import CParser
from yaml.composer import Composer
from yaml.constructor import SafeConstructor
from yaml.resolver import BaseResolver

from storm_core.errors import InputError

_NULL, _BOOL, _INT, _FLOAT, _STR, _SEQ, _MAP, _MERGE = (
    f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str", "seq", "map", "merge")
)
# Section 10.3.2 of the specification of YAML 1.2.2, and the merge key.
_CORE_SCHEMA = (
    (_NULL, re.compile(r"(?:null|Null|NULL|~|)\Z")),
    (_BOOL, re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z")),
    (_INT, re.compile(r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)\Z")),
    (_FLOAT, re.compile(r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?)\Z")),
    (_FLOAT, re.compile(r"(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z")),
    (_MERGE, re.compile(r"<<\Z")),
)
# Python itself refuses to show an integer of thousands of digits.
_LONGEST_NUMBER = 40
# A few lines of aliases to aliases stand for more values than any memory holds.
_MOST_VALUES, _MOST_TIMES = 1_000_000, 10


def read_yaml(content: bytes, where: str) -> Any:
    """What the document in `content` holds; None where there is none.

    Args:
        content: of a file.
        where: what the file is called in messages.

    Raises:
        InputError: it is not YAML, holds several documents, or gives a key twice; names the line.
    """
    with _loader(content, where) as loader:
        root = _root(loader)
        return None if root is None else loader.construct_document(root)


def compose_yaml(content: bytes, where: str) -> yaml.Node | None:
    """The tree of nodes of the document in `content`, which keep their lines and their text as written.

    Raises:
        InputError: as `read_yaml`.
    """
    with _loader(content, where) as loader:
        return _root(loader)


def read_yaml_texts(content: bytes, where: str) -> Any:
    """The document in `content` with every value, and every key, as the text that is written there.

    Raises:
        InputError: as `read_yaml`.
    """
    with _loader(content, where) as loader:
        root = _root(loader)
        return None if root is None else _as_written(root)


def _root(loader: "_Loader") -> yaml.Node | None:
    root = loader.get_single_node()
    if root is not None:
        sizes: dict[int, int] = {}
        values = _size(root, sizes)
        if values > max(_MOST_VALUES, _MOST_TIMES * len(sizes)):
            raise InputError(f"its aliases (*) stand for {values:.3g} values; write out what is meant")
    return root


def _size(node: yaml.Node, sizes: dict[int, int]) -> int:
    """How many values a node stands for, each alias counted as all that it repeats; `sizes` has those known by id."""
    if id(node) not in sizes:
        inner = node.value if isinstance(node, yaml.SequenceNode) else ()
        if isinstance(node, yaml.MappingNode):
            inner = [one for pair in node.value for one in pair]
        sizes[id(node)] = 0  # For a node within itself.
        sizes[id(node)] = 1 + sum(_size(one, sizes) for one in inner)
    return sizes[id(node)]


def _as_written(node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return {str(key.value): _as_written(value) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [_as_written(one) for one in node.value]
    return node.value


@contextlib.contextmanager
def _loader(content: bytes, where: str) -> Iterator["_Loader"]:
    """A loader whose errors name the file, in one line."""
    try:
        loader = _Loader(content)
        try:
            yield loader
        finally:
            loader.dispose()
    except RecursionError as error:
        raise InputError(f"{where} is nested too deeply") from error
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    except (yaml.YAMLError, ValueError) as error:
        said = " ".join(str(error).split()).replace('in "<byte string>",', "at")
        raise InputError(f"{where} is not YAML: {said}") from error


def _null(_loader: "_Loader", _node: yaml.ScalarNode) -> None:
    return None


def _boolean(loader: "_Loader", node: yaml.ScalarNode) -> bool:
    text = loader.construct_scalar(node).lower()
    if text not in ("true", "false"):
        raise InputError(f"line {_line(node)}: {text!r} is neither true nor false")
    return text == "true"


def _integer(loader: "_Loader", node: yaml.ScalarNode) -> int:
    text = loader.construct_scalar(node)
    if len(text) > _LONGEST_NUMBER:
        raise InputError(f"line {_line(node)}: that number is too long")
    return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))


def _number(loader: "_Loader", node: yaml.ScalarNode) -> float:
    text = loader.construct_scalar(node)
    return float(re.sub(r"\.(inf|nan)$", r"\1", text.lower()))


class _Loader(Composer, SafeConstructor, BaseResolver, CParser):
    """libyaml's scanner, which is fast, below PyYAML's composer: libyaml's own ends the process on deep nesting."""

    yaml_implicit_resolvers = {None: list(_CORE_SCHEMA)}  # noqa: RUF012 (PyYAML's own)
    yaml_constructors: ClassVar[dict[Any, Any]] = {
        _NULL: _null,
        _BOOL: _boolean,
        _INT: _integer,
        _FLOAT: _number,
        _STR: SafeConstructor.construct_yaml_str,
        _SEQ: SafeConstructor.construct_yaml_seq,
        _MAP: SafeConstructor.construct_yaml_map,
        None: SafeConstructor.construct_undefined,
    }

    def __init__(self, content: bytes) -> None:
        CParser.__init__(self, content)
        Composer.__init__(self)
        SafeConstructor.__init__(self)
        BaseResolver.__init__(self)

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """The mapping, which must give each key once."""
        mapping = super().compose_mapping_node(anchor)
        lines: dict[Any, int] = {}
        for key, _ in mapping.value:
            # A key that is a list or a mapping is refused later: Python can hash none.
            if isinstance(key, yaml.ScalarNode):
                name = key.value if key.tag == _MERGE else self.construct_object(key)
                if name in lines:
                    raise InputError(f"{_shown(key)} is given twice, in line {lines[name]} and in line {_line(key)}")
                lines[name] = _line(key)
        return mapping


def _line(node: yaml.Node) -> int:
    line: int = node.start_mark.line
    return line + 1


def _shown(key: yaml.ScalarNode) -> str:
    text: str = key.value
    return text if text.isprintable() and 0 < len(text) <= reprlib.aRepr.maxother else reprlib.repr(text)
