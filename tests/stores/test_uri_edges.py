"""URI text is parsed where it comes in, and nowhere else: everything behind that is given a location."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
EDGES = {
    "pipelines/compilation.py",  # the flag --store
    "pipelines/engines.py",  # STORM_STORE, before a run begins
    "storm_core/sources/references.py",  # an option of `prepare`
    "pipelines/submission/references.py",  # the references of a recipe
    "storm_core/stores/garbage_collection.py",  # results that are remembered
    "storm_core/stores/registries.py",  # the sources in MLflow's registry
    "storm_core/stores/references.py",  # flags, STORM_STORE, and the `uri` of a manifest
}


def modules() -> list[Path]:
    return [path for package in ("storm_core", "components", "pipelines") for path in (ROOT / package).rglob("*.py")]


def imports_the_parser(path: Path) -> bool:
    nodes = list(ast.walk(ast.parse(path.read_text())))
    named = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    named |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    from_package = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module == "storm_core.stores"]
    return "storm_core.stores.uris" in named or any(one.name == "uris" for node in from_package for one in node.names)


def test_uri_text_is_parsed_at_the_edges_only() -> None:
    found = {path.relative_to(ROOT).as_posix() for path in modules() if imports_the_parser(path)}
    assert found == EDGES


def test_scheme_of_a_store_is_spelt_where_locations_are_made_and_shown() -> None:
    """A module that writes `s3://` in code would piece a URI together by itself; help and messages name it in prose."""
    stores = ROOT / "storm_core" / "stores"
    for path in sorted(stores.glob("*.py")):
        pieces = [
            node.values[0]
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.JoinedStr) and node.values and isinstance(node.values[0], ast.Constant)
        ]
        makes_uris = any(str(piece.value).startswith(("s3://", "file://", "hf://")) for piece in pieces)
        assert not makes_uris or path.name == "locations.py", f"{path} makes a URI; use a location's `uri`"
