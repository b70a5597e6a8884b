"""YAML: what is said twice is refused in every file that is read, and values are YAML 1.2's."""

import ast
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.profiles.loading import load_profile
from pipelines.recipes import load_recipe
from storm_core.artifacts import open_directory
from storm_core.errors import InputError
from storm_core.evaluation.questions import read_pairs
from storm_core.evaluation.suite import load_suite, parse_suite
from storm_core.finetuning.patterns import read_patterns
from storm_core.judging.wording.rubrics import load_rubrics
from storm_core.promotion.rules import parse_rules
from storm_core.sources.formats import chatterbot
from storm_core.yaml_documents import compose_yaml, read_yaml, read_yaml_texts

ROOT = Path(__file__).parents[2]
OURS = ("storm_core", "components", "pipelines", "images", "benchmarks", "examples")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((text, None) for text in ("null", "Null", "NULL", "~", "")),
        *((text, True) for text in ("true", "True", "TRUE")),
        *((text, False) for text in ("false", "False", "FALSE")),
        *(("010", 10), ("-19", -19), ("+12", 12), ("0o17", 15), ("0x1F", 31), ("0", 0), ("08", 8)),
        *(("1e-4", 1e-4), ("1E5", 1e5), ("2.", 2.0), (".5", 0.5), ("-1.5e+3", -1500.0)),
        *((".inf", math.inf), ("-.INF", -math.inf)),
        *((text, text) for text in ("on", "off", "yes", "no", "Yes", "y", "n", "tRue", "nUll", "NaN", "inf")),
        *((text, text) for text in ("12:30", "1:30:05", "1_000", "0b11", "-0x1", "2026-01-02")),
        *((text, text) for text in ("1e", "e5", ".", "1.2.3", "=")),
        *(('"1e-4"', "1e-4"), ("'true'", "true"), ("!!str 10", "10"), ("!!float 1", 1.0)),
    ],
)  # fmt: skip
def test_values_are_those_of_the_core_schema(text: str, value: Any) -> None:
    for content, found in ((f"a: {text}", {"a": value}), (f"[{text}]", [value] if text else [])):
        assert repr(read_yaml(content.encode(), "f")) == repr(found)


@given(st.floats(allow_nan=False))
def test_every_number_that_json_writes_is_that_number(number: float) -> None:
    assert read_yaml(json.dumps(number).replace("Infinity", ".inf").encode(), "f") == number


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["C"]))
NAMES = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=4)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=12,
)


@given(JSON)
def test_what_is_json_is_read_as_json(value: Any) -> None:
    assert read_yaml(json.dumps(value, ensure_ascii=False).encode(), "f") == value


@given(st.dictionaries(NAMES, JSON, min_size=1, max_size=5), st.data())
def test_key_given_twice_at_any_depth_is_refused_with_both_lines(fields: dict[str, Any], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(fields)))
    lines = [f'? "{key}"\n: {json.dumps(value, ensure_ascii=False)}' for key, value in fields.items()]
    lines.insert(data.draw(st.integers(0, len(lines))), f'? "{name}"\n: 1')
    depth = data.draw(st.integers(0, 4))
    text = "\n".join("  " * depth + line for line in "\n".join(lines).splitlines())
    opened = "\n".join(f"{'  ' * level}k{level}:" for level in range(depth))
    first, second = (number for number, line in enumerate(f"{opened}\n{text}".splitlines(), 1) if f'? "{name}"' in line)
    for read in (read_yaml, compose_yaml, read_yaml_texts):
        with pytest.raises(InputError) as refused:
            read(f"{opened}\n{text}".encode(), "somewhere.yaml")
        assert str(refused.value) == f"somewhere.yaml: {name} is given twice, in line {first} and in line {second}"


@pytest.mark.parametrize("text", ["{a: 1, 'a': 2}", "{1: a, 1.0: b}", "{true: a, True: b}", "{<<: {a: 1}, <<: {b: 1}}"])
def test_keys_that_are_the_same_to_python_are_the_same(text: str) -> None:
    with pytest.raises(InputError, match="is given twice, in line 1 and in line 1"):
        read_yaml(text.encode(), "f")


def test_merged_key_may_be_given_again() -> None:
    text = "a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}\nc: {<<: *a}\n"
    assert read_yaml(text.encode(), "f") == {"a": {"x": 1, "y": 2}, "b": {"x": 3, "y": 2}, "c": {"x": 1, "y": 2}}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a: [1", "f is not YAML: .* line 2"),
        (b"a: 1\n--- b", "f is not YAML: expected a single document"),
        (b"\xff\xfe\x00", "f is not YAML"),
        (b"\xe9: 1", "f is not YAML: .* invalid trailing UTF-8"),
        (b'"\\ud800"', "f is not YAML: .* invalid Unicode"),
        (b"!!python/object:os.system {}", "f is not YAML: .* tag"),
        (b"!!timestamp x", "f is not YAML: .* tag"),
        (b"!!int x", "f is not YAML"),
        (b"a: !!bool yes", "f: line 1: 'yes' is neither true nor false"),
        (b"? [a]\n: b", "f is not YAML: .* unhashable key"),
        (b"\n- " + b"9" * 5000, "f: line 2: that number is too long"),
        *((mark * 100_000, "f is nested too deeply") for mark in (b"[", b"- ", b"{a: ")),
    ],
)
def test_what_is_no_yaml_is_told_in_one_line(content: bytes, said: str) -> None:
    with pytest.raises(InputError, match=f"^{said}") as refused:
        read_yaml(content, "f")
    assert len(str(refused.value).splitlines()) == 1


def test_texts_are_as_written() -> None:
    text = "a: [1e-4, 010, Yes, ~, '', 1963]\nb: {7: null}"
    assert read_yaml_texts(text.encode(), "f") == {"a": ["1e-4", "010", "Yes", "~", "", "1963"], "b": {"7": "null"}}


@given(
    st.text(st.characters(codec="utf-8"), max_size=30)
    | st.text(st.sampled_from("a:-[]{},&*!|>'\"%@` \n\t#?~0.1e"), max_size=30)
)
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    try:
        read_yaml(text.encode(), "f")
    except InputError as error:
        assert len(str(error).splitlines()) == 1


def rewritten(path: Path, change: Callable[[str], str], target: Path) -> Path:
    """A copy of a file that is read today, with a change."""
    target.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")
    return target


def first_key_again(text: str) -> str:
    """The file with its first key given once more at its end."""
    found = re.search(r"^(\w+):", text, re.MULTILINE)
    assert found
    return f"{text}\n{found[1]}: 1\n"


def _suite_of_data(path: Path) -> Any:
    return load_suite(path.name, open_directory(path.parent))


def _framing(path: Path) -> Any:
    return load_rubrics(open_directory(path.parent))


def _chatterbot(path: Path) -> Any:
    return list(chatterbot.read(open_directory(path.parent), path.name))


_ENGLISH = ROOT / ".data" / "chatterbot_corpus" / "data" / "english" / "trivia.yml"
_RUBRICS = ROOT / "storm_core" / "judging" / "wording" / "rubrics"
READERS: list[tuple[Callable[[Path], Any], Path]] = [
    (load_recipe, ROOT / "recipes" / "smoke.yaml"),
    (lambda path: load_profile(str(path)), ROOT / "pipelines" / "profiles" / "one-gpu.yaml"),
    (_suite_of_data, ROOT / "storm_core" / "evaluation" / "suites" / "smoke.yaml"),
    (read_patterns, next((ROOT / "tests" / "spectrum" / "golden").glob("*.yaml"))),
    (_framing, _RUBRICS / "framing.yaml"),
    (_framing, _RUBRICS / "difficulty.yaml"),
    (lambda path: parse_rules(path.read_bytes()), ROOT / "storm_core" / "promotion" / "rules.yaml"),
    (read_pairs, _ENGLISH),
    (_chatterbot, _ENGLISH),
]


@pytest.mark.parametrize(("read", "path"), READERS, ids=lambda one: getattr(one, "name", ""))
def test_every_file_is_read_and_refused_with_a_key_given_twice(
    read: Callable[[Path], Any], path: Path, tmp_path: Path
) -> None:
    assert read(rewritten(path, str, tmp_path / path.name))
    with pytest.raises(InputError, match=r"\w+ is given twice, in line \d+ and in line \d+"):
        read(rewritten(path, first_key_again, tmp_path / path.name))


def test_suite_with_a_setting_given_twice_names_it() -> None:
    content = b"dtype: float32\nseeds: {}\nbenchmarks:\n- {name: f, samples: 4, samples: 2}\n"
    with pytest.raises(InputError, match=r"^my suite: samples is given twice, in line 4 and in line 4$"):
        parse_suite("my", content, where="my suite")


def test_yaml_is_parsed_in_one_module_alone() -> None:
    found = {
        path.relative_to(ROOT).as_posix()
        for room in OURS
        for path in (ROOT / room).rglob("*.py")
        if parses_yaml(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert found == {"storm_core/yaml_documents.py"}


def parses_yaml(tree: ast.Module) -> bool:
    """Whether a module takes from PyYAML what reads: all but writers, errors and the kinds of nodes."""
    harmless = re.compile(r"(safe_)?dump(_all)?|\w*(Error|Node|Dumper)")
    named = [
        node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "yaml"
    ]
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    named += [
        one.name
        for node in imports
        if (node.module or "").partition(".")[0] in ("yaml", "ruamel")
        for one in node.names
    ]
    return any(not harmless.fullmatch(name) for name in named)


def test_aliases_that_stand_for_more_than_a_memory_holds_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x]"]
    lines += [f"a{place}: &a{place} [{', '.join([f'*a{place - 1}'] * 4)}]" for place in range(1, 31)]
    with pytest.raises(InputError, match=r"it: its aliases \(\*\) stand for .* values"):
        read_yaml("\n".join(lines).encode(), "it")
    assert read_yaml("\n".join(lines[:3]).encode(), "it")["a2"][0][0] == ["x"] * 4
