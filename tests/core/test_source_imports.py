"""What the sources say is what Python's own parser, and Python itself, find in them."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from storm_core.source_imports import ROOT, closure, import_statements, source_file
from storm_core.stages import load_stage

PACKAGE = "storm_core.room"


def parsed(node: ast.AST) -> Iterator[tuple[str, list[str]]]:
    """The imports of a module without relative ones, in another way than the walk's."""
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return
    if isinstance(node, ast.Import):
        yield from ((alias.name, []) for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        yield str(node.module), [alias.name for alias in node.names]
    for child in ast.iter_child_nodes(node):
        yield from parsed(child)


def read(source: str) -> list[tuple[str, list[str]]]:
    return sorted(import_statements(source, PACKAGE))


def test_every_import_of_the_package_is_found_and_nothing_else() -> None:
    sources = [path.read_text() for path in ROOT.rglob("*.py")]
    assert len(sources) > 100
    for source in sources:
        assert read(source) == sorted(parsed(ast.parse(source)))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import a.b, c as d\n", [("a.b", []), ("c", [])]),
        ("from a import b as c, d  # why\n", [("a", ["b", "d"])]),
        ("from a import (\n    b,\n    c as d,\n)\n", [("a", ["b", "c"])]),
        ("from a import (\n    b,  # (why)\n    c,\n)\n", [("a", ["b", "c"])]),
        ("from a import b, \\\n    c\n", [("a", ["b", "c"])]),
        ("def f():\n    if True: from a import b\n", [("a", ["b"])]),
        ("import a; import b\n", [("a", []), ("b", [])]),
        ("try:\n    import a\nexcept ImportError:\n    import b\n", [("a", []), ("b", [])]),
        ("from . import a\nfrom .. import b\n", [("storm_core", ["b"]), (PACKAGE, ["a"])]),
        ("from .a import b\n", [(f"{PACKAGE}.a", ["b"])]),
        ('"""We import\nimport nothing but this\n"""\nimport a\n', [("a", [])]),
        ("from a import *\n", [("a", ["*"])]),
        ("if TYPE_CHECKING:\n    import a\n\n    import b\nelse:\n    import c\nimport d\n", [("c", []), ("d", [])]),
        ("if TYPE_CHECKING: import a\nimport b; import c\n", [("b", []), ("c", [])]),
    ],
)
def test_imports_in_every_form_that_python_knows(source: str, expected: list[tuple[str, list[str]]]) -> None:
    assert read(source) == expected


def test_packages_around_a_module_belong_to_it_and_storm_core_itself_does_not() -> None:
    reached = closure(["storm_core.reporting.figures.drawing"])
    assert {"storm_core.reporting", "storm_core.reporting.figures"} <= reached.sources.keys()
    assert "storm_core" not in reached.sources
    assert source_file("torch") is None


def test_the_walk_does_not_enter_what_it_is_to_leave_out() -> None:
    whole, part = closure(["storm_core.execution"]), closure(["storm_core.execution"], without=["storm_core.stores"])
    assert "storm_core.stores.s3_store" in whole.sources
    assert "boto3" in whole.outside
    assert not [name for name in part.sources if name.startswith("storm_core.stores")]
    assert "boto3" not in part.outside


@pytest.mark.parametrize("verb", ["merge", "select", "gate", "report"])
def test_what_python_loads_for_a_stage_is_what_the_walk_finds(verb: str) -> None:
    stage = load_stage(verb)
    module = stage.run.partition(":")[0]
    script = f"import json, sys, {module}; print(json.dumps([name for name in sys.modules if 'storm_core.' in name]))"
    printed = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    loaded = {name for name in json.loads(printed.stdout) if not name.startswith("__editable__")}
    assert module in loaded
    assert loaded <= closure([module, stage.config.__module__]).sources.keys()


def test_no_module_is_imported_by_a_name_that_the_walk_cannot_see() -> None:
    for path in ROOT.rglob("*.py"):
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        called = {ast.unparse(call.func).rpartition(".")[2] for call in calls}
        # These two import what the declarations of the stages name, where the walk begins. From the package itself
        # modules take the version and nothing that it imports; tests/core/test_code_identity.py holds them to that.
        declared = path.name in ("stage.py", "stages.py") or path == ROOT / "__init__.py"
        # What draws the pages decides no result: the walk never enters it.
        declared = declared or path.parent == ROOT / "pages"
        assert declared or not called & {"import_module", "__import__", "run_module"}, path
