"""A run in a folder of any name: it works, or is refused in one line before anything is made."""

import os
import shlex
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from hypothesis import example, given, settings
from hypothesis import strategies as st
from kfp import dsl, local
from kfp.local import status, task_handler_interface
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.db.utils import create_sqlalchemy_engine_with_retry

from pipelines.database import database_uri
from pipelines.engines import DOCKER, SUBPROCESS, check_path, in_subprocesses, own_store
from pipelines.local import quiet_kfp, tasks_run_by
from pipelines.run import _say_where_to_look
from storm_core.errors import InputError
from storm_core.executor_output import parse_executor_input, write_executor_output
from storm_core.manifest import Manifest
from storm_core.stores.references import STORE_VARIABLE
from storm_core.stores.uris import parse_uri
from tests.pipelines.conftest import make_workspace, run

# As people and CI name folders: after a branch, a share, a question, a month, a person.
_PARTS = [
    "%2F",
    "%25",
    "%20",
    "%zz",
    "${local_rank}",
    "$$",
    "$HOME",
    "é",
    "日本",
    "python3",
    "a",
    *"%?#&;'\" +=@,:()[]{}<>|!*`",
]
names = st.lists(st.sampled_from(_PARTS), min_size=1, max_size=5).map("".join)
ODD_NAME = """it's 100% "what?" a%2Fb #1; R&D + $HOME $$ ${local_rank} [é] {日本}"""


def every_name(test: Callable[..., None]) -> Any:
    """The test, tried with folders of many names: those that were reported, and generated ones."""
    for name in ("feature%2Flogin", "100%", "what?", "My Projects", "issue #1", ODD_NAME):
        test = example(name=name)(test)
    return settings(max_examples=20, deadline=None)(given(name=names)(test))


@pytest.fixture(autouse=True)
def no_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(STORE_VARIABLE, raising=False)


@every_name
def test_database_and_files_of_mlflow_lie_in_the_folder_and_nothing_beside_it(name: str) -> None:
    with tempfile.TemporaryDirectory() as top:
        directory = Path(top, name, "runs", "r")
        directory.mkdir(parents=True)
        engine = create_sqlalchemy_engine_with_retry(database_uri(directory))
        with engine.begin() as connection:
            connection.execute(sqlalchemy.text("CREATE TABLE t (x INTEGER)"))
        engine.dispose()
        (directory / "page.html").touch()
        get_artifact_repository((directory / "mlflow-artifacts").as_uri()).log_artifact(str(directory / "page.html"))
        found = {path.relative_to(directory).as_posix() for path in Path(top).rglob("*") if path.is_file()}
        assert found == {"mlflow.db", "page.html", "mlflow-artifacts/page.html"}
        assert [path.name for path in Path(top).iterdir()] == [name]


@every_name
def test_store_of_a_run_lies_in_its_folder(name: str) -> None:
    directory = Path("/srv", name, "runs", "r")
    check_path(directory, SUBPROCESS)
    location = parse_uri(own_store(directory))
    assert location.below("model", "%2e%2e").uri == f"{own_store(directory)}/model/%252e%252e"  # type: ignore[union-attr]
    assert parse_uri(location.uri) == location


@every_name
def test_lines_at_the_end_lead_to_the_folder(name: str) -> None:
    with tempfile.TemporaryDirectory() as top, pytest.MonkeyPatch.context() as patch:
        patch.delenv(STORE_VARIABLE, raising=False)
        directory = Path(top, name, "runs", "r").resolve()
        (directory / "artifacts" / "model").mkdir(parents=True)
        lines: list[str] = []
        patch.setattr("builtins.print", lambda line: lines.extend(line.splitlines()))
        with in_subprocesses(directory, alone=True) as engine:
            for place in (Path("/"), directory.parent):
                patch.chdir(place)
                _say_where_to_look(directory, engine, 1.0)
                told = dict(line.strip().split(None, 1) for line in lines[-5:])
                assert Path(told["models"]).is_dir()
                assert Path(told["report"]).parent.is_dir()
                *_, address = words = shlex.split(told["MLflow"])
                assert len(words) == 4
                assert address == f"--backend-store-uri={database_uri(directory)}"
        assert STORE_VARIABLE not in os.environ


class Writer(task_handler_interface.ITaskHandler):
    """Stands for a task's process: writes what it is given to the output that it is told."""

    def __init__(self, image: str, full_command: list[str], pipeline_root: str, runner: Any, **_: Any) -> None:
        self.command = full_command

    def run(self) -> status.Status:
        """Write."""
        _, text, output, executor_input = self.command
        Path(output).mkdir(parents=True)
        Path(output, "text").write_text(text)
        manifest = Manifest(kind="text", files=(), digest="0" * 64)
        write_executor_output(parse_executor_input(executor_input), {"written": manifest}, {})
        return status.Status.SUCCESS


@dsl.container_component  # type: ignore[untyped-decorator]
def writing(text: str, written: dsl.Output[dsl.Artifact]):
    return dsl.ContainerSpec(image="none", command=["write", text, written.path, "{{$}}"])


@dsl.pipeline(name="one")  # type: ignore[untyped-decorator]
def one(text: str) -> dsl.Artifact:
    return writing(text=text).outputs["written"]


@every_name
def test_kubeflow_hands_on_paths_of_any_folder(name: str) -> None:
    with tempfile.TemporaryDirectory() as top, tasks_run_by(Writer), quiet_kfp():
        root = Path(top, name, "kfp")
        local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(root), raise_on_error=True)
        written = Path(one(text=f"{root}/base").outputs["Output"].path)
        assert written.is_relative_to(root)
        assert (written / "text").read_text() == f"{root}/base"


@pytest.mark.parametrize(
    ("name", "engine"),
    [
        *(
            (name, engine)
            for name in ("a\\b", "a\nb", "a\tb", "a{{$.x}}b", "kfp-workspace", "\udcff")
            for engine in (SUBPROCESS, DOCKER)
        ),
        ("a:b", DOCKER),
    ],
)
def test_name_that_somebody_would_misread_is_refused_in_one_line(name: str, engine: str) -> None:
    with pytest.raises(InputError, match="rename that folder") as refused:
        check_path(Path("/srv", name, "runs", "r"), engine)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.nightly
def test_the_whole_recipe_runs_in_a_folder_of_odd_name(
    tmp_path: Path, tiny_llama: Path, other_tiny_llama: Path
) -> None:
    workspace = tmp_path / ODD_NAME
    workspace.mkdir()
    make_workspace(workspace, tiny_llama, other_tiny_llama)
    finished = run(workspace)
    assert finished.returncode == 0, finished.stderr
    directory = workspace / "runs" / "tiny"
    assert (directory / "report.html").is_file()
    assert (directory / "mlflow.db").is_file()
    assert [path.name for path in tmp_path.iterdir()] == [ODD_NAME]
