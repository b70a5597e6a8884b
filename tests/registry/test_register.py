import json
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from storm_core.artifacts import open_directory
from storm_core.cli import main
from storm_core.errors import InputError, StoreError
from storm_core.execution import execute
from storm_core.registry.config import REGISTER, RegisterConfig, is_registered_model_name
from storm_core.registry.model_versions import find_version
from storm_core.registry.stage import check_source
from storm_core.stores.references import open_store
from storm_core.stores.registrations import noted_registrations
from tests.conftest import complaints

WORSE = {"merged": (5, 5), "quantized": (5, 5)}


def register(output: Path, inputs: dict[str, list[str]], **options: Any) -> dict[str, Any]:
    config = RegisterConfig(**options)
    execute(REGISTER, config, inputs=inputs, outputs={"registration": output}, value_files={})
    written: dict[str, Any] = json.loads((output / "registration.json").read_text())
    return written


def test_both_models_become_versions_whose_source_is_the_artifact_itself(tmp_path: Path, registry, promotion) -> None:
    inputs = promotion()
    registration = register(tmp_path / "registration", inputs)
    client = MlflowClient()
    assert [entry["role"] for entry in registration["versions"]] == ["merged", "quantized"]
    for entry in registration["versions"]:
        version = client.get_model_version("storm", entry["version"])
        artifact = open_directory(Path(inputs[f"{entry['role']}_model"][0]))
        assert version.source == entry["source"] == artifact.path.as_uri()
        assert version.tags["storm.digest"] == entry["digest"] == artifact.digest
        assert version.tags["storm.role"] == entry["role"]
        assert version.tags["storm.input.base_model"] == "b" * 64


def test_a_version_shows_its_scores_and_belongs_to_the_stages_run(tmp_path: Path, registry, promotion) -> None:
    registration = register(tmp_path / "registration", promotion())
    client = MlflowClient()
    version = client.get_model_version("storm", registration["versions"][0]["version"])
    assert version.run_id and version.description
    run = client.get_run(version.run_id)
    assert run.data.tags["storm.stage"] == "register"
    assert run.info.status == "FINISHED"
    assert version.tags["storm.benchmark.tools"] == "0.65"
    assert "| Tools | 0.650 | 0.109 | 20 |" in version.description
    logged = client.get_logged_model(version.tags["storm.logged_model"])
    assert {metric.key: metric.value for metric in logged.metrics or ()}["merged/tools"] == pytest.approx(0.65)
    assert json.loads(logged.tags["mlflow.modelVersions"]) == [{"name": "storm", "version": "1"}]
    assert logged.source_run_id == version.run_id


def test_a_retry_finds_the_versions_and_makes_no_second_one(tmp_path: Path, registry, promotion) -> None:
    first = register(tmp_path / "one", promotion())
    second = register(tmp_path / "two", promotion())
    assert first == second
    assert (tmp_path / "one/registration.json").read_bytes() == (tmp_path / "two/registration.json").read_bytes()
    client = MlflowClient()
    assert len(client.search_model_versions("name = 'storm'")) == 2
    experiment = client.get_experiment_by_name("storm")
    assert experiment is not None
    assert len(client.search_logged_models([experiment.experiment_id])) == 2


def test_an_interrupted_registration_is_completed_by_the_next(tmp_path: Path, registry, promotion, monkeypatch) -> None:
    def crash(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(MlflowClient, "set_logged_model_tags", crash)
        register(tmp_path / "one", promotion())
    assert not (tmp_path / "one").exists()
    registration = register(tmp_path / "two", promotion())
    assert [entry["version"] for entry in registration["versions"]] == ["1", "2"]
    assert "| Tools |" in (MlflowClient().get_model_version("storm", "1").description or "")


def test_champion_and_candidate_follow_a_gate_that_passed(tmp_path: Path, registry, promotion) -> None:
    registration = register(tmp_path / "registration", promotion())
    aliases = {entry["role"]: entry["aliases"] for entry in registration["versions"]}
    assert aliases == {"merged": ["candidate", "champion"], "quantized": []}


def test_the_champion_stays_when_the_gate_does_not_open(tmp_path: Path, registry, promotion) -> None:
    first = register(tmp_path / "one", promotion(1))
    second = register(tmp_path / "two", promotion(2, WORSE))
    assert second["versions"][0]["aliases"] == ["candidate"]
    client = MlflowClient()
    aliases = client.get_registered_model("storm").aliases
    assert str(aliases["champion"]) == first["versions"][0]["version"]
    assert str(aliases["candidate"]) == second["versions"][0]["version"]
    assert client.get_model_version("storm", second["versions"][0]["version"]).tags["storm.gate"] == "failed"


def test_without_a_champion_a_failing_gate_makes_none(tmp_path: Path, registry, promotion) -> None:
    register(tmp_path / "registration", promotion(1, WORSE))
    assert MlflowClient().get_registered_model("storm").aliases == {"candidate": 1}


def test_a_second_generation_gets_versions_of_its_own(tmp_path: Path, registry, promotion) -> None:
    register(tmp_path / "one", promotion(1))
    registration = register(tmp_path / "two", promotion(2))
    assert [entry["version"] for entry in registration["versions"]] == ["3", "4"]
    found = find_version(MlflowClient(), "storm", registration["versions"][1]["digest"])
    assert found is not None
    assert str(found.version) == "4"


def test_with_a_store_the_source_is_the_stores_uri(tmp_path: Path, registry, promotion, monkeypatch) -> None:
    inputs = promotion()
    monkeypatch.setenv("STORM_STORE", (tmp_path / "store").as_uri())
    inputs["merged_model"] = [Path(inputs["merged_model"][0]).as_uri()]
    outputs = {"registration": tmp_path / "registration"}
    execute(REGISTER, RegisterConfig(), inputs=inputs, outputs=outputs, value_files={})
    version = MlflowClient().get_model_version_by_alias("storm", "candidate")
    assert version.source == inputs["merged_model"][0]


def test_an_injected_run_is_the_one_that_versions_belong_to(tmp_path: Path, registry, promotion, monkeypatch) -> None:
    client = MlflowClient()
    run = client.create_run(client.create_experiment("injected", artifact_location=tmp_path.as_uri()))
    inputs = promotion()
    monkeypatch.setenv("MLFLOW_RUN_ID", run.info.run_id)
    register(tmp_path / "registration", inputs)
    assert client.get_model_version("storm", "1").run_id == run.info.run_id


def test_without_a_registry_nothing_is_left_and_one_line_says_why(tmp_path: Path, promotion, capsys) -> None:
    flags = [text for name, (path,) in promotion().items() for text in (f"--{name.replace('_', '-')}", path)]
    capsys.readouterr()
    assert main(["register", *flags, "--registration", str(tmp_path / "registration")]) == 1
    (line,) = complaints(capsys.readouterr().err)
    assert line.startswith("storm register: error: MLFLOW_TRACKING_URI is not set")
    assert not (tmp_path / "registration").exists()


def test_a_registry_that_is_away_is_the_error(tmp_path: Path, promotion, capsys, monkeypatch) -> None:
    flags = [text for name, (path,) in promotion().items() for text in (f"--{name.replace('_', '-')}", path)]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    capsys.readouterr()
    assert main(["register", *flags, "--registration", str(tmp_path / "registration")]) == 1
    why = "MLflow at 127.0.0.1:9 does not answer: Connection refused"
    assert complaints(capsys.readouterr().err) == [
        f"register: {why}; it is asked again until the stage ends",
        f"storm register: error: {why}; register cannot do without it",
    ]
    assert not (tmp_path / "registration").exists()


def test_a_registry_that_goes_away_half_way_is_the_error(tmp_path: Path, registry, promotion, monkeypatch) -> None:
    def go_away(*_: object, **__: object) -> None:
        raise MlflowException("API request to http://mlflow failed with exception [Errno 111] Connection refused")

    monkeypatch.setattr(MlflowClient, "set_registered_model_alias", go_away)
    with pytest.raises(InputError, match="does not answer: Connection refused"):
        register(tmp_path / "registration", promotion())


def test_a_model_and_the_evaluation_of_another_are_refused(tmp_path: Path, registry, promotion) -> None:
    inputs = promotion()
    inputs["merged_evaluation"] = inputs["quantized_evaluation"]
    with pytest.raises(InputError, match="merged_evaluation is of the model"):
        register(tmp_path / "registration", inputs)
    assert MlflowClient().search_registered_models() == []


def test_a_decision_about_other_models_is_refused(tmp_path: Path, registry, promotion) -> None:
    inputs = promotion(1) | {"decision": promotion(2)["decision"]}
    with pytest.raises(InputError, match="the decision is not about merged_model"):
        register(tmp_path / "registration", inputs)


UNUSABLE = ["", " ", "a/b", "a:b", "it's", ".", "..", "..a", "a\nb", " a", "a" * 257]


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_name_that_mlflow_or_a_search_cannot_take_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="registered_model_name must be a name"):
        RegisterConfig(registered_model_name=name)


@pytest.mark.parametrize("name", ["llama-3.1-storm-8b", "50% merged", "Modell für Ä"])
def test_a_name_that_is_none_for_a_logged_model_registers_all_the_same(
    name: str, tmp_path: Path, registry, promotion
) -> None:
    registration = register(tmp_path / "registration", promotion(), registered_model_name=name)
    version = MlflowClient().get_model_version_by_alias(name, "champion")
    assert str(version.version) == registration["versions"][0]["version"]


@pytest.mark.parametrize("name", ["", " ", "a/b", "a:b", ".", "..", "..a"])
def test_what_mlflow_refuses_is_refused_before(name: str, registry) -> None:
    assert not is_registered_model_name(name)
    with pytest.raises(MlflowException):
        MlflowClient().create_registered_model(name)


def test_only_a_server_reached_over_http_refuses_local_sources() -> None:
    check_source("file:///store/model/1", "sqlite:///mlflow.db")
    check_source("s3://bucket/model/1", "http://mlflow:5000")
    with pytest.raises(InputError, match=r"STORM_STORE=s3://"):
        check_source("file:///store/model/1", "http://mlflow:5000")


def test_the_store_of_a_model_is_told_where_it_is_registered(tmp_path: Path, registry, promotion) -> None:
    store = open_store((tmp_path / "shared").as_uri())
    inputs = promotion()
    for role in ("merged", "quantized"):
        directory = Path(inputs[f"{role}_model"][0])
        inputs[f"{role}_model"] = [store.publish_copy(directory, open_directory(directory).manifest).uri]
    execute(REGISTER, RegisterConfig(), inputs=inputs, outputs={"registration": tmp_path / "out"}, value_files={})
    decision = open_directory(Path(inputs["decision"][0])).digest
    noted = {one.digest: one for one in noted_registrations(store.ledger)}
    assert set(noted) == {inputs[f"{role}_model"][0].rpartition("/")[2] for role in ("merged", "quantized")}
    for one in noted.values():
        assert (one.registry, one.name, one.decided_by[0]) == (f"sqlite:///{registry}", "storm", decision)


def test_a_store_that_takes_no_note_stops_no_registration(
    tmp_path: Path, registry, promotion, monkeypatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise StoreError("read only")

    monkeypatch.setattr("storm_core.registry.stage.store_holding", refuse)
    assert len(register(tmp_path / "registration", promotion())["versions"]) == 2
    assert "is not told of its registration (read only)" in capsys.readouterr().err
