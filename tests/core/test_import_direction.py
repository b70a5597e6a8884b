"""Arrows point one way: pipelines -> components -> stage configs; storm_core knows nothing of KFP or Kubernetes."""

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
STANDARD_LIBRARY = sys.stdlib_module_names


def imports_of(path: Path) -> set[str]:
    """Every module that the file imports, wherever in it the import stands."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def modules(package: str) -> list[Path]:
    found = sorted((ROOT / package).rglob("*.py"))
    assert found, f"no modules in {package}"
    return found


def starts_with(names: set[str], *packages: str) -> set[str]:
    return {name for name in names if name.split(".")[0] in packages}


def test_storm_core_imports_no_kfp_and_nothing_of_ours_above_it() -> None:
    for path in modules("storm_core"):
        assert not starts_with(imports_of(path), "kfp", "components", "pipelines", "tests"), path


def test_only_the_cluster_room_talks_to_kubernetes() -> None:
    for path in modules("storm_core"):
        if "cluster" not in path.relative_to(ROOT / "storm_core").parts:
            assert not starts_with(imports_of(path), "kubernetes"), path


def test_components_import_kfp_and_stage_declarations_only() -> None:
    declarations = {"storm_core", "storm_core.config", "storm_core.errors", "storm_core.stage", "storm_core.stages"}
    for path in modules("components"):
        for name in imports_of(path):
            allowed = name.split(".")[0] in {"kfp", "components", *STANDARD_LIBRARY} or name in declarations
            assert allowed, f"{path} imports {name}"


def test_components_do_not_import_pipelines() -> None:
    for path in modules("components"):
        assert not starts_with(imports_of(path), "pipelines"), path


def test_configs_import_the_standard_library_only() -> None:
    for path in [
        *(ROOT / "storm_core").glob("*/config.py"),
        ROOT / "storm_core/stage.py",
        ROOT / "storm_core/config.py",
    ]:
        for name in imports_of(path):
            ours = name.startswith("storm_core.")
            assert ours or name.split(".")[0] in STANDARD_LIBRARY, f"{path} imports {name}"


def test_help_loads_nothing_heavy() -> None:
    script = (
        "import sys; from storm_core.cli import build_parser; build_parser();"
        "print([m for m in ('torch', 'transformers', 'pyarrow', 'mlflow', 'numpy') if m in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert printed.stdout.strip() == "[]"
