"""`python -m pipelines submit` and `watch`, by kfp's own client, against a stand-in for the server."""

import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.__main__ import main
from pipelines.submission import server as server_module
from pipelines.submission import waiting
from pipelines.submission.runs import RunRequest, experiment_id, start_run
from pipelines.submission.server import Server
from pipelines.submission.versions import find_or_upload
from storm_core.errors import InputError
from storm_core.stores.references import open_reference
from tests.pipelines.kfp_server import KfpServer
from tests.pipelines.kfp_state import Course, State
from tests.pipelines.submitting import STORE, command, kfp, only, recipe, s3, settings, submit

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))

__all__ = ["kfp", "recipe", "s3", "settings"]


def test_recipe_becomes_a_version_and_a_run_of_it(
    recipe: Path, kfp: KfpServer, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ("--service-account", "our-runner", "--tracking-uri", "http://mlflow:5000", "--experiment", "nightly")
    assert submit(recipe, kfp, *flags) == 0
    version, run = only(kfp.state.versions), only(kfp.state.runs)
    assert re.fullmatch("tiny-laptop-kind-[0-9a-f]{12}", version["name"])
    assert only(kfp.state.pipelines)["name"] == "storm-tiny"
    assert only(kfp.state.experiments)["display_name"] == "nightly"
    assert run["pipeline_version_reference"]["pipeline_version_id"] == version["pipeline_version_id"]
    assert run["service_account"] == "our-runner"
    assert run["runtime_config"]["parameters"]["train_epochs"] == 2
    assert re.fullmatch(r"tiny \d{4}-\d\d-\d\d \d\d:\d\d:\d\d", run["display_name"])
    told = capsys.readouterr()
    assert f"{kfp.address}/#/runs/details/{run['run_id']}" in told.out
    assert "http://mlflow:5000, experiment storm" in told.out
    assert "FutureWarning" not in told.err
    assert "Details" not in told.out and "details:" not in told.out


def test_profile_says_what_the_models_are_registered_as(recipe: Path, kfp: KfpServer, tmp_path: Path) -> None:
    (tmp_path / "team.yaml").write_text("registered_model_name: team-b\n")
    assert submit(recipe, kfp, "--profile", str(tmp_path / "team.yaml")) == 0
    assert only(kfp.state.runs)["runtime_config"]["parameters"]["register_registered_model_name"] == "team-b"


def test_local_paths_are_pushed_once_and_submitted_as_uris(
    recipe: Path, kfp: KfpServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert submit(recipe, kfp) == 0
    first = capsys.readouterr().out
    assert len(re.findall(r" B, pushed: s3://models/storm/", first)) == 3
    given = only(kfp.state.runs)["runtime_config"]["parameters"]
    assert open_reference(given["data"]).manifest.kind == "data"
    base = open_reference(given["base_model"])
    assert base.manifest.kind == "model"
    assert base.file("file.txt").read_text().startswith("base of")
    assert submit(recipe, kfp) == 0
    assert len(re.findall(r" B, in the store already: ", capsys.readouterr().out)) == 3


def test_text_held_out_is_pushed_and_is_data_too(recipe: Path, kfp: KfpServer, tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "one.txt").write_text("What the model knew before.")
    recipe.write_text(f"{recipe.read_text()}train_held_out: {tmp_path / 'texts'}\n")
    assert submit(recipe, kfp) == 0
    texts = open_reference(only(kfp.state.runs)["runtime_config"]["parameters"]["train_held_out"])
    assert texts.manifest.kind == "data"
    assert texts.file("one.txt").read_text() == "What the model knew before."


def test_same_content_is_the_same_version_and_other_content_another(
    recipe: Path, kfp: KfpServer, capsys: pytest.CaptureFixture[str]
) -> None:
    submit(recipe, kfp)
    submit(recipe, kfp)
    assert len(kfp.state.versions) == len(kfp.state.pipelines) == len(kfp.state.experiments) == 1
    assert len(kfp.state.runs) == 2
    assert "there already" in capsys.readouterr().out
    recipe.write_text(recipe.read_text().replace("train_epochs: 2", "train_epochs: 3"))
    submit(recipe, kfp)
    assert len(kfp.state.versions) == 2
    assert len(kfp.state.pipelines) == 1


@pytest.mark.parametrize(
    ("made", "kept"),
    [("create_pipeline", "pipelines"), ("upload_version", "versions"), ("create_experiment", "experiments")],
)
def test_what_somebody_else_made_in_the_meantime_is_taken_as_there(
    recipe: Path, kfp: KfpServer, monkeypatch: pytest.MonkeyPatch, made: str, kept: str
) -> None:
    original = getattr(kfp.state, made)

    def after_another(*given: Any) -> Any:
        original(*given)
        return original(*given)

    monkeypatch.setattr(kfp.state, made, after_another)
    assert submit(recipe, kfp) == 0
    assert len(getattr(kfp.state, kept)) == 1
    assert len(kfp.state.runs) == 1


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_shipped_recipe_is_submitted(
    path: Path, kfp: KfpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = yaml.safe_load(path.read_text())
    for name in ("base_model", "sibling_model", "data"):
        place = tmp_path / arguments[name]
        (place if place.suffix != ".gguf" else place.parent).mkdir(parents=True, exist_ok=True)
        (place / f"{name}.txt" if place.is_dir() else place).write_text("content")
    monkeypatch.chdir(tmp_path)
    assert submit(path, kfp) == 0
    given = only(kfp.state.runs)["runtime_config"]["parameters"]
    assert all(given[name].startswith(STORE) for name in ("base_model", "sibling_model", "data"))


def test_wait_shows_every_task_as_it_ends_and_succeeds(
    recipe: Path, kfp: KfpServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert submit(recipe, kfp, "--wait") == 0
    out = capsys.readouterr().out
    ended = re.findall(r"^  (\S+) +succeeded +32 s$", out, re.M)
    assert {"fetch-base", "fetch-sibling", "evaluate-merged", "score", "report"} <= set(ended)
    assert "executor" not in out and "-driver" not in out
    assert len(ended) == len(set(ended)) == 18
    assert out.endswith("the run succeeded\n")


def test_failed_run_is_exit_code_1_and_names_the_task_and_what_kfp_says(
    recipe: Path, kfp: KfpServer, capsys: pytest.CaptureFixture[str]
) -> None:
    kfp.state.courses.append(Course(failing={"fetch-2": "main: Error (exit code 137)"}))
    assert submit(recipe, kfp, "--wait") == 1
    out = capsys.readouterr().out
    assert "  failed: fetch-sibling: main: Error (exit code 137)\n" in out
    assert len(kfp.state.runs) == 1


def test_failed_run_is_submitted_again_as_often_as_is_said(
    recipe: Path, kfp: KfpServer, capsys: pytest.CaptureFixture[str]
) -> None:
    kfp.state.courses += [Course(failing={"train": ""}), Course(failing={"train": ""})]
    assert submit(recipe, kfp, "--wait", "--resubmit", "2") == 0
    assert len(kfp.state.runs) == 3
    assert len(kfp.state.versions) == 1
    assert [name[-3:] for name in (run["display_name"] for run in kfp.state.runs.values())][1:] == ["(2)", "(3)"]
    kfp.state.courses += [Course(failing={"train": ""}), Course(failing={"train": ""})]
    assert submit(recipe, kfp, "--wait", "--resubmit", "1") == 1
    assert len(kfp.state.runs) == 5
    assert "  failed: train\n" in capsys.readouterr().out


def test_cancelled_run_is_not_submitted_again(recipe: Path, kfp: KfpServer) -> None:
    kfp.state.courses.append(Course(cancelled=True))
    assert submit(recipe, kfp, "--wait", "--resubmit", "3") == 1
    assert len(kfp.state.runs) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_wait_leaves_the_run_alone_and_says_how_to_wait_again(
    recipe: Path, kfp: KfpServer, capsys: pytest.CaptureFixture[str], number: signal.Signals
) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "pipelines", *command(recipe, kfp, "--wait")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        while not any(request.startswith("GET /apis/v2beta1/runs/") for request in kfp.requests):
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(number)
        rest, _ = process.communicate()
    assert process.returncode == 130
    run = only(kfp.state.runs)
    again = f"python -m pipelines watch --host {kfp.address} {run['run_id']}"
    assert f"the run goes on. To wait again: {again}" in rest
    assert not any(":terminate" in request for request in kfp.requests)
    assert main(again.split()[3:]) == 0
    assert "the run succeeded" in capsys.readouterr().out


def test_server_that_is_gone_for_a_while_is_asked_again(
    recipe: Path, kfp: KfpServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "ANSWER_SECONDS", (5.0, 0.4))
    kfp.trouble("GET /apis/v2beta1/runs/", *["drop"] * 5, *["hang"] * 5, 503, 502)
    assert submit(recipe, kfp, "--wait") == 0
    out = capsys.readouterr().out
    assert "asking again for 600 s" in out
    assert "the run succeeded" in out


def test_server_that_stays_away_is_given_up_and_the_run_is_not(
    recipe: Path, kfp: KfpServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "GONE_SECONDS", 0.2)
    kfp.trouble("GET /apis/v2beta1/runs/", *[503] * 1000)
    assert submit(recipe, kfp, "--wait") == 1
    told = capsys.readouterr().err
    assert "cannot do it now (HTTP 503)" in told
    assert "what was started goes on. To wait again: python -m pipelines watch" in told


def test_credentials_that_end_while_waiting_are_an_error_that_says_the_run_goes_on(
    recipe: Path, kfp: KfpServer, capsys: pytest.CaptureFixture[str]
) -> None:
    kfp.trouble("GET /apis/v2beta1/runs/", 401)
    assert submit(recipe, kfp, "--wait") == 1
    assert "knows no such user (HTTP 401)" in (told := capsys.readouterr().err)
    assert "goes on" in told


def test_run_that_may_have_been_started_is_not_started_twice(
    recipe: Path, kfp: KfpServer, capsys: pytest.CaptureFixture[str]
) -> None:
    kfp.trouble("POST /apis/v2beta1/runs", "drop")
    assert submit(recipe, kfp) == 1
    assert "may have been started all the same" in capsys.readouterr().err
    assert sum(request == "POST /apis/v2beta1/runs" for request in kfp.requests) == 1


def test_stranger_is_refused_at_once_and_users_are_let_in_by_token_or_cookie(
    recipe: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with KfpServer(token="secret-of-ours") as kfp:
        assert submit(recipe, kfp) == 1
        told = capsys.readouterr().err
        assert "knows no such user (HTTP 401)" in told
        assert "KFP_EXISTING_TOKEN" in told and "Traceback" not in told
        monkeypatch.setenv("KFP_EXISTING_TOKEN", "secret-of-ours")
        assert submit(recipe, kfp) == 0
        monkeypatch.delenv("KFP_EXISTING_TOKEN")
        monkeypatch.setenv("KFP_COOKIES", "authservice_session=secret-of-ours")
        assert submit(recipe, kfp) == 0
        shown = capsys.readouterr()
        assert "secret-of-ours" not in shown.out + shown.err


def test_where_users_have_namespaces_one_must_be_given(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with KfpServer(State(multi_user=True)) as kfp:
        assert submit(recipe, kfp) == 1
        assert "say with --namespace which" in capsys.readouterr().err
        assert submit(recipe, kfp, "--namespace", "team") == 0
        assert only(kfp.state.pipelines)["namespace"] == only(kfp.state.experiments)["namespace"] == "team"


@pytest.mark.parametrize(("tag", "warned"), [("2.17.1", False), ("2.5.0", True), ("unknown", True)])
def test_release_that_was_not_tested_is_warned_of(
    recipe: Path, capsys: pytest.CaptureFixture[str], tag: str, warned: bool
) -> None:
    with KfpServer(State(tag_name=tag)) as kfp:
        assert submit(recipe, kfp) == 0
    assert ("tested is 2.17" in capsys.readouterr().err) == warned


@pytest.mark.parametrize(("tag", "warned"), [("2.17.1", False), ("2.5.0", True)])
def test_release_is_known_where_the_server_of_kfp_s_pages_answers(
    recipe: Path, kfp: KfpServer, capsys: pytest.CaptureFixture[str], tag: str, warned: bool
) -> None:
    kfp.state.health = {"apiServerTagName": tag, "apiServerReady": True, "multi_user": False}
    assert submit(recipe, kfp) == 0
    assert ("tested is 2.17" in capsys.readouterr().err) == warned


def test_address_where_nobody_answers_is_an_error_in_words(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with KfpServer() as gone:
        pass
    assert submit(recipe, gone) == 1
    assert f"{gone.address} does not answer: " in (told := capsys.readouterr().err)
    assert len(told.splitlines()) == 1


def test_run_that_is_not_there_is_an_error_in_words(kfp: KfpServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", "--host", kfp.address, "no-such-run"]) == 1
    told = capsys.readouterr().err
    assert "(HTTP 404): ResourceNotFoundError: Run no-such-run not found; a run is named by its ID" in told
    assert "goes on" not in told and "To wait again" not in told


def test_run_that_is_deleted_while_it_is_waited_for_is_not_said_to_go_on(
    recipe: Path, kfp: KfpServer, capsys: pytest.CaptureFixture[str]
) -> None:
    kfp.trouble("GET /apis/v2beta1/runs/", 404)
    assert submit(recipe, kfp, "--wait") == 1
    told = capsys.readouterr().err
    assert "gone once deleted" in told and "goes on" not in told


def test_run_whose_pipeline_was_deleted_goes_on(
    recipe: Path, kfp: KfpServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert submit(recipe, kfp) == 0
    kfp.trouble("GET /apis/v2beta1/pipelines/", 404)
    assert main(["watch", "--host", kfp.address, only(kfp.state.runs)["run_id"]]) == 1
    assert "goes on" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"train_epoch": 2.0}, "not required by pipeline: train_epoch"),
        ({"train_epochs": "2"}, "train_epochs requires type NUMBER_DOUBLE"),
        ({"quantize_scheme": "FP7"}, "'quantize_scheme' does not match any of the allowed literal values"),
    ],
)
def test_arguments_that_kfp_refuses_are_an_error_in_its_words(
    recipe: Path, kfp: KfpServer, wrong: dict[str, Any], said: str
) -> None:
    submit(recipe, kfp)
    version, given = only(kfp.state.versions), only(kfp.state.runs)["runtime_config"]["parameters"]
    server = Server(kfp.address)
    found = find_or_upload(server, "storm-tiny", version["name"], Path("/nowhere.yaml"))
    request = RunRequest(
        version=found, arguments=given, experiment_id=experiment_id(server, "storm"), service_account=None
    )
    with pytest.raises(InputError, match=re.escape(said)):
        start_run(server, replace(request, arguments={**given, **wrong}), "a run")
