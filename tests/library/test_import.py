"""`import storm_core as storm`: quick, complete, and the same to a type checker as to the interpreter."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import storm_core as storm

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "numpy", "pyarrow", "transformers", "safetensors", "mlflow", "boto3", "yaml", "tqdm")


def run(program: str) -> list[str]:
    """What the program leaves in `found`, printed as JSON by a process of its own."""
    command = [sys.executable, "-c", f"import json, sys\n{program}\nprint(json.dumps(found))"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return list(json.loads(printed.stdout))


def test_import_loads_no_other_module_of_ours_and_no_package() -> None:
    before = "before = set(sys.modules); import storm_core as storm; dir(storm); storm.__all__"
    assert run(f"{before}; found = [m for m in sys.modules if m.startswith('storm_core.') or m in {HEAVY}]") == []


def test_what_makes_models_is_there_before_torch_is() -> None:
    program = "import storm_core as storm; storm.scan, storm.merge, storm.quantize, storm.Model, storm.InputError"
    assert run(f"{program}; found = [m for m in sys.modules if m in {HEAVY}]") == []


def test_every_name_is_there_and_listed() -> None:
    for name in storm.__all__:
        assert getattr(storm, name).__class__
    assert set(storm.__all__) <= set(dir(storm))
    assert {"scan", "merge", "quantize", "score", "slerp", "fetch", "InputError"} <= set(storm.__all__)


def test_name_that_is_not_there_is_the_usual_error() -> None:
    with pytest.raises(AttributeError, match=r"^module 'storm_core' has no attribute 'scna'$"):
        storm.scna  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'scna'"):
        from storm_core import scna  # type: ignore[attr-defined]  # noqa: F401


def test_a_star_import_brings_the_library() -> None:
    assert {"scan", "slerp", "Verdicts"} <= set(run("from storm_core import *\nfound = [*globals()]"))


def test_type_checkers_see_the_names_that_the_interpreter_finds_in_the_same_modules() -> None:
    source = ast.parse((ROOT / "storm_core/__init__.py").read_text())
    (block,) = [node for node in source.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    typed = {
        alias.asname: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert typed == storm._MODULES


def test_type_checker_knows_every_option_and_result(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import storm_core as storm\n"
        "reveal_type(storm.scan('a', unfrozen_percent=25))\n"
        "reveal_type(storm.merge)\n"
        "reveal_type(storm.quantize(storm.merge('a', 'b', 'c'), 'd', ignore=('lm_head',)).path)\n"
        "reveal_type([one.difficulty for one in storm.score('a', [[{'role': 'user'}]], max_length=64)])\n"
        "storm.merge('a', 'b', 'c', t='half')\n"
        "storm.scan('a', percent=25)\n"
        "storm.scna\n"
    )
    # Without the types of other packages, which take a minute to read and change none of these.
    quick = ["--no-site-packages", "--ignore-missing-imports", "--hide-error-context"]
    command = [sys.executable, "-m", "mypy", "--strict", *quick, "--cache-dir", str(tmp_path), "program.py"]
    environment = {"MYPYPATH": str(ROOT), "HOME": str(tmp_path)}
    checked = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
    found = (line.removeprefix("program.py:") for line in checked.stdout.splitlines() if line.startswith("program.py:"))
    said = [line.partition(": ")[2] for line in found if "Called function defined" not in line]
    assert said == [
        'note: Revealed type is "storm_core.library.scan.Scan"',
        'note: Revealed type is "def (base_model: str | os.PathLike[str], other_model: str | os.PathLike[str], '
        'output: str | os.PathLike[str], *, t: float =) -> storm_core.library.model.Model"',
        'note: Revealed type is "pathlib.Path"',
        'note: Revealed type is "list[storm_core.verdicts.schema.Verdict | None]"',
        'error: Argument "t" has incompatible type "str"; expected "float"  [arg-type]',
        'error: Unexpected keyword argument "percent"  [call-arg]',
        'error: Module has no attribute "scna"  [attr-defined]',
    ], checked.stdout + checked.stderr
    assert (ROOT / "storm_core/py.typed").is_file()
