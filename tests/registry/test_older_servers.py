"""Servers older than ours: a real one behind a proxy that has no page for what came later."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from storm_core.errors import InputError
from storm_core.mlflow_requests import NoAliasesError
from storm_core.registry.model_versions import ModelEntry
from storm_core.registry.stage import _register
from storm_core.tracking import Work, track
from tests.stores.fault_proxy import FaultProxy, Response
from tests.tracking.conftest import Server, TrainLikeConfig, empty_database, shared_server  # noqa: F401 (fixtures)

pytestmark = pytest.mark.slow
ALWAYS = 10_000
# As MLflow 2.22 answers, and as GitLab does.
PAGES = {
    "MLflow": ("text/html", b"<!doctype html><title>404 Not Found</title><h1>Not Found</h1>"),
    "another": ("application/json", b'{"error": "404 Not Found"}'),
}
ENTRIES = [
    ModelEntry(
        role=role,
        digest=letter * 64,
        source=f"s3://models/storm/model/{letter * 64}",
        tags={"storm.benchmark.tools": "0.65"},
        metrics={"tools": 0.65},
        description=f"The {role} model.",
    )
    for role, letter in (("merged", "a"), ("quantized", "b"))
]


@dataclass(frozen=True, kw_only=True)
class Older:
    """An older server, a client of it, and a run there."""

    proxy: FaultProxy
    client: MlflowClient
    run_id: str

    def lack(self, path: str, page: str) -> None:
        """Have no page for such requests."""
        kind, body = PAGES[page]
        answer = Response(status=404, headers=[("Content-Type", kind)], body=body)
        self.proxy.spoil(lambda exchange: exchange.answer(answer), path=path, times=ALWAYS)

    def register(self, name: str) -> list[dict[str, Any]]:
        return _register(self.client, self.run_id, name, ENTRIES, passed=True)


@pytest.fixture
def older(shared_server: Server, tmp_path: Path) -> Iterator[Older]:  # noqa: F811
    with FaultProxy(shared_server.url) as proxy:
        client = MlflowClient(proxy.endpoint, proxy.endpoint)
        experiment = client.get_experiment_by_name("older") or client.get_experiment(client.create_experiment("older"))
        run = client.create_run(experiment.experiment_id)
        yield Older(proxy=proxy, client=client, run_id=run.info.run_id)
    assert not proxy.failures


@pytest.mark.parametrize("page", PAGES)
def test_versions_are_made_where_there_are_no_logged_models(
    page: str, older: Older, capsys: pytest.CaptureFixture[str]
) -> None:
    older.lack("logged-models", page)
    name = f"on {page}"
    for _ in range(2):
        registered = older.register(name)
        assert [(one["role"], one["version"], one["aliases"]) for one in registered] == [
            ("merged", "1", ["candidate", "champion"]),
            ("quantized", "2", []),
        ]
    version = older.client.get_model_version(name, "1")
    assert version.tags["storm.benchmark.tools"] == "0.65" and version.description == "The merged model."
    said = capsys.readouterr().err
    assert said.count("scores are in tags and description alone") == len(ENTRIES)


def test_version_of_an_older_server_is_found_by_the_newer_one_that_took_its_place(
    older: Older,
    shared_server: Server,  # noqa: F811
) -> None:
    older.lack("logged-models", "MLflow")
    older.register("kept")
    newer = Older(proxy=older.proxy, client=shared_server.client(), run_id=older.run_id)
    assert [one["version"] for one in newer.register("kept")] == ["1", "2"]


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("lacking", ["registered-models/alias", "registered-models|model-versions"])
def test_server_without_aliases_is_refused_before_there_is_a_version(
    lacking: str,
    page: str,
    older: Older,
    shared_server: Server,  # noqa: F811
) -> None:
    older.lack(lacking, page)
    with pytest.raises(InputError, match="no aliases of registered models"):
        older.register("refused")
    assert shared_server.client().search_model_versions("name = 'refused'") == []


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("verb", ["fetch", "prepare", "train"])
@pytest.mark.parametrize("lacks", [True, False])
def test_stage_of_a_pipeline_does_no_work_for_a_server_without_aliases(
    page: str,
    verb: str,
    lacks: bool,
    older: Older,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if lacks:
        older.lack("registered-models/alias", page)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", older.proxy.endpoint)
    begun = []
    for variable in ("", "a-run"):
        monkeypatch.setenv("STORM_KFP_RUN_ID", variable)
        with contextlib.suppress(NoAliasesError), track(Work(verb=verb, task=verb), TrainLikeConfig(), None, tmp_path):
            begun.append(variable)
    # Alone, a stage needs no registry.
    assert begun == ([""] if lacks else ["", "a-run"])
