"""The rooms of `storm_core`: none imports itself by way of others, and what stands in them is short."""

import ast
import statistics
from collections import defaultdict
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

from storm_core.source_imports import import_statements, source_file

ROOT = Path(__file__).parents[2]
CODE = sorted(path for top in ("storm_core", "components", "pipelines") for path in (ROOT / top).rglob("*.py"))
MOST_LINES = 300


def module_of(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def room_of(module: str) -> str:
    """The directory of a module; a module that lies beside the rooms is one of its own."""
    file = source_file(module)
    assert file
    return module if file.parent == ROOT / "storm_core" else module_of(file.parent / "__init__.py")


def imported_by(file: Path) -> Iterator[str]:
    """The modules of `storm_core` that the code of a file imports, inside functions too."""
    package = module_of(file.parent / "__init__.py")
    for module, names in import_statements(file.read_text(encoding="utf-8"), package):
        if source_file(module):
            inner = [f"{module}.{name}" for name in names]
            yield from (name if source_file(name) else module for name in inner or [module])


def arrows() -> dict[str, set[str]]:
    """Of every room the others that it imports."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for file in CODE:
        module = module_of(file)
        if source_file(module):
            found[room_of(module)] |= {room_of(name) for name in imported_by(file)} - {room_of(module)}
    return found


def lengths() -> list[int]:
    """Lines of every function, decorators and docstring included."""
    return [
        (node.end_lineno or 0) - min(part.lineno for part in (node, *node.decorator_list)) + 1
        for file in CODE
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def test_no_room_imports_itself_by_way_of_others() -> None:
    rooms = arrows()
    assert rooms["storm_core.judging"] >= {"storm_core.judging.engines", "storm_core.judging.wording"}
    TopologicalSorter(rooms).prepare()  # names a circle


def test_functions_are_short() -> None:
    numbers = lengths()
    assert len(numbers) > 1000
    assert statistics.median(numbers) < 10
    assert statistics.quantiles(numbers, n=20)[-1] < 30


def test_files_can_be_read_in_one_go() -> None:
    lines = {str(file.relative_to(ROOT)): len(file.read_text(encoding="utf-8").splitlines()) for file in CODE}
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}
