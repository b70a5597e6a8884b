"""What the modules of `storm_core` import, read from their sources: nothing is imported to find out."""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cache
from importlib.util import resolve_name
from pathlib import Path

PACKAGE = "storm_core"
ROOT = Path(__file__).parent

# One import statement on lines of its own, without relative names, semicolons, backslashes or comments in parentheses.
_PLAIN_IMPORT = re.compile(
    r"^ *(?:from (?P<module>\w[\w.]*) import (?:\((?P<lines>[^()#]*)\)|(?P<line>[\w, ]+))|import (?P<modules>[\w., ]+))"
    r" *(?:#.*)?$",
    re.MULTILINE,
)
_WORD = re.compile(r"import\b")
# The line and all that is indented under it.
_TYPES_ONLY = re.compile(r"^( *)if TYPE_CHECKING:.*\n(?:\1 +.*\n| *\n)*", re.MULTILINE)

# A module, and the names that are imported from it; none for `import module`.
Statement = tuple[str, list[str]]


@dataclass(frozen=True, kw_only=True)
class Closure:
    """The sources of modules of `storm_core` and of all that they import within it; the modules named outside of it."""

    sources: Mapping[str, str]
    outside: Set[str]


def closure(start: Iterable[str], without: Sequence[str] = ()) -> Closure:
    """What the modules `start` of `storm_core` lead to, by imports inside functions too.

    What stands under `if TYPE_CHECKING` is no import: it never runs. The packages around a module run when it is
    imported and belong to it, but for `storm_core` itself.

    Args:
        start: where the walk begins.
        without: modules, or packages with all below them, that the walk does not enter.
    """
    sources, outside, waiting = dict[str, str](), set[str](), list(start)
    while waiting:
        name = waiting.pop()
        file = source_file(name)
        if name in sources or file is None or any(f"{name}.".startswith(f"{other}.") for other in without):
            continue
        sources[name] = file.read_text(encoding="utf-8")
        parent = name.rpartition(".")[0]
        waiting.append(parent)
        for module, names in import_statements(sources[name], name if file.name == "__init__.py" else parent):
            if module.partition(".")[0] == PACKAGE:
                waiting += [module, *_possible_modules(module, names)]
            else:
                outside.add(module)
    return Closure(sources=sources, outside=outside)


def _possible_modules(module: str, names: list[str]) -> list[str]:
    """What `from module import names` may name as modules: nothing, where the module is no package."""
    file = source_file(module)
    return [f"{module}.{name}" for name in names] if file is None or file.name == "__init__.py" else []


@cache
def source_file(module: str) -> Path | None:
    """The source of a module of `storm_core`; None for other names, and for `storm_core` itself."""
    package, _, rest = module.partition(".")
    if package != PACKAGE or not rest:
        return None
    path = ROOT.joinpath(*rest.split("."))
    return next((file for file in (Path(f"{path}.py"), path / "__init__.py") if file.is_file()), None)


def import_statements(source: str, package: str) -> Iterator[Statement]:
    """Every import in the source of a module of `package`, wherever it stands but under `if TYPE_CHECKING`.

    Parsing takes ten times as long as looking for lines, more than all else that a stage does before its work. So a
    source is parsed only where the word `import` stands anywhere but in lines of the plain form.
    """
    text = _TYPES_ONLY.sub("", source)
    found = list(_PLAIN_IMPORT.finditer(text))
    if len(found) != len(_WORD.findall(text)):
        yield from _parsed(ast.parse(source), package)
        return
    for plain in found:
        if plain["module"]:
            yield plain["module"], _names(plain["lines"] or plain["line"])
        else:
            yield from ((module, []) for module in _names(plain["modules"]))


def _names(listed: str) -> list[str]:
    """The names of a list with commas, without what they are called here: `a as b, c`."""
    return [name.split()[0] for name in listed.split(",") if name.strip()]


def _parsed(node: ast.AST, package: str) -> Iterator[Statement]:
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        node = ast.Module(body=node.orelse, type_ignores=[])
    if isinstance(node, ast.Import):
        yield from ((alias.name, []) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        module = resolve_name("." * node.level + (node.module or ""), package)
        yield module, [alias.name for alias in node.names]
    for child in ast.iter_child_nodes(node):
        yield from _parsed(child, package)
