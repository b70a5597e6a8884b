"""Check that an environment can run its verbs: `health.py --verbs scan,merge`; exits with 1 and says what is wrong.

Imports every module that a verb's code names, inside functions too: what a stage imports late must be there as well.
Runs when an image is built, and in a container of it.
"""

import argparse
import ast
import importlib
import importlib.util
import subprocess
import sys
from collections.abc import Iterable, Iterator, Set
from pathlib import Path

from storm_core.stages import load_stage

PACKAGE = "storm_core"
# What every verb runs through.
ENTRY = ("storm_core.cli", "storm_core.execution")


def main() -> int:
    """Run all checks; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--verbs", required=True, help="separated by commas")
    parser.add_argument("--unmet", default="", help="packages that may be missing though another requires them")
    parser.add_argument("--without", default="", help="modules that this image's verbs name but need not have")
    parser.add_argument("--modules", default="", help="modules that must be there besides")
    arguments = parser.parse_args()
    problems = list(unmet_requirements(set(arguments.unmet.split(","))))
    for verb in arguments.verbs.split(","):
        module, _, _ = load_stage(verb).run.partition(":")
        problems += missing(f"storm {verb}", imported_modules([module, *ENTRY]), set(arguments.without.split(",")))
        problems += failed_command(verb)
    problems += missing("the image", set(filter(None, arguments.modules.split(","))))
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def unmet_requirements(accepted: set[str]) -> Iterator[str]:
    """What `pip check` finds, less what is `accepted`. The pip is that of the base image: the environment has none."""
    command = [sys._base_executable, "-m", "pip", "--python", sys.executable, "check"]  # type: ignore[attr-defined]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    for line in found.stdout.splitlines():
        known = "requires" in line and line.split(" requires ")[1].split(",")[0] in accepted
        if found.returncode and not known:
            yield f"pip check: {line}"
    if found.returncode and not found.stdout:
        yield f"pip check: {found.stderr.strip()}"


def failed_command(verb: str) -> Iterator[str]:
    """The command of the verb, as a component calls it, can be started."""
    finished = subprocess.run(["storm", verb, "--help"], capture_output=True, text=True, check=False)  # noqa: S607
    if finished.returncode:
        yield f"storm {verb} --help: {finished.stderr.strip()}"


def missing(what: str, modules: set[str], without: Set[str] = frozenset()) -> Iterator[str]:
    """Each of the modules that cannot be imported; those of the packages `without` are not tried."""
    for name in sorted(modules):
        if name.split(".")[0] not in without:
            try:
                importlib.import_module(name)
            except ImportError as error:
                yield f"{what} needs {name}: {error}"


def imported_modules(start: Iterable[str]) -> set[str]:
    """The modules outside of `storm_core` that `start` and the modules of `storm_core` that it leads to import."""
    seen, waiting, outside = set[str](), list(start), set[str]()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        for imported in named_imports(name):
            if imported.split(".")[0] == PACKAGE:
                waiting.append(imported)
            else:
                outside.add(imported)
    return outside


def named_imports(module: str) -> Iterator[str]:
    """The absolute imports in the source of `module`; of `from package import module` the module too."""
    specification = importlib.util.find_spec(module)
    if specification is None or specification.origin is None:
        return
    for node in walk_without_types(ast.parse(Path(specification.origin).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            if node.module.split(".")[0] == PACKAGE:
                yield from submodules(node)


def walk_without_types(node: ast.AST) -> Iterator[ast.AST]:
    """Every node below `node`, but for what stands under `if TYPE_CHECKING`."""
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from walk_without_types(child)


def submodules(node: ast.ImportFrom) -> Iterator[str]:
    """Those names of a `from package import name` that are modules of their own."""
    for alias in node.names:
        name = f"{node.module}.{alias.name}"
        parent = importlib.util.find_spec(str(node.module))
        if parent is not None and parent.submodule_search_locations and importlib.util.find_spec(name):
            yield name


if __name__ == "__main__":
    sys.exit(main())
