"""What garbage collection keeps: what decided on registered models, what runs use, what other registries hold."""

import os
import shutil
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from mlflow import MlflowClient

from storm_core.stores.leases import held
from storm_core.stores.references import open_store
from storm_core.stores.registrations import Registration, note_registration, registry_address
from storm_core.stores.uses import note_uses
from tests.stores.conftest import Storm, digest_in, make

# After so long it is certain, by a clock that tells whole seconds, that something was before now.
CLOCK_SECONDS = 3
COLLECT = ("gc", "--keep-days", "0", "--delete")


@pytest.fixture(scope="session")
def empty_registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with its tables made, which takes seconds. Copy it."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def registry(empty_registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """The registry that the environment names."""
    shutil.copy(empty_registry, tmp_path / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    return MlflowClient()


def register(client: MlflowClient, model: str, **tags: str) -> None:
    client.create_registered_model("storm")
    client.create_model_version("storm", model, tags={f"storm.{name}": digest_in(uri) for name, uri in tags.items()})


def there(store: str) -> set[str]:
    return {place.location.uri for place in open_store(store).places()}


def test_what_decided_on_a_registered_model_and_tells_of_it_is_kept_and_no_more(
    store: str, storm: Storm, registry: MlflowClient
) -> None:
    base = make(store, "model", b"base")
    verdicts = make(store, "verdicts", b"verdicts", {"model": [digest_in(base)]})
    tuned = make(store, "model", b"tuned", {"model": [digest_in(base)], "verdicts": [digest_in(verdicts)]})
    evaluations = [make(store, "evaluation", uri.encode(), {"model": [digest_in(uri)]}) for uri in (base, tuned)]
    decision = make(store, "decision", b"decision", {"evaluations": [digest_in(uri) for uri in evaluations]})
    about = {"model": [digest_in(tuned)], "decision": [digest_in(decision)]}
    registration = make(store, "registration", b"registration", about)
    report = make(store, "report", b"report", {**about, "registration": [digest_in(registration)]})
    audit = make(store, "audit", b"audit", {"model": [digest_in(base)], "verdicts": [digest_in(verdicts)]})
    kept = {base, verdicts, tuned, *evaluations, decision, registration, report, audit}

    other = make(store, "verdicts", b"other", {"model": [digest_in(base)]})
    make(store, "audit", b"of others", {"model": [digest_in(base)], "verdicts": [digest_in(other)]})
    make(store, "evaluation", b"another suite", {"model": [digest_in(base)]})
    make(store, "model", b"another model", {"model": [digest_in(base)]})
    make(store, "report", b"of nothing here")
    register(registry, tuned, decision=decision, evaluation=evaluations[1])
    assert storm(*COLLECT, "--keep-registered")[0] == 0
    assert there(store) == kept


def test_what_a_run_uses_is_kept_while_it_holds_its_lease(store: str, storm: Storm, tmp_path: Path) -> None:
    kept = make(store, "model", b"kept")
    source = make(store, "model", b"source")
    taken = make(store, "model", b"taken", {"model": [digest_in(source)]})
    opened = open_store(store)
    (tmp_path / "part").write_bytes(b"half the work")
    opened.partial_results("1" * 64).keep("checkpoint", tmp_path / "part")
    about = {"task": "train", "inputs": [digest_in(taken)]}
    with held(opened.ledger, f"runs/{'1' * 64}", about=about):
        code, out, _ = storm(*COLLECT, "--keep", kept)
        assert (code, out) == (0, "")
    assert storm(*COLLECT, "--keep", kept)[0] == 0
    assert there(store) == {kept}
    assert list(opened.leftovers()) == []


def test_while_a_run_works_what_others_wrote_today_stays(store: str, storm: Storm, tmp_path: Path) -> None:
    opened = open_store(store)
    (tmp_path / "part").write_bytes(b"a verdict")
    opened.partial_results("2" * 64).keep("shared", tmp_path / "part")
    with held(opened.ledger, f"runs/{'1' * 64}", about={"task": "score", "inputs": []}):
        assert storm(*COLLECT)[1] == ""
    assert "partial results" in storm(*COLLECT)[1]


def test_a_run_that_takes_what_is_listed_already_keeps_it(
    store: str, storm: Storm, monkeypatch: pytest.MonkeyPatch
) -> None:
    uris = {name: make(store, "model", name.encode()) for name in ("kept", "leased", "recalled", "published", "gone")}
    digests = {name: digest_in(uri) for name, uri in uris.items()}
    opened = open_store(store)
    entry = {"outputs": {"model": uris["recalled"]}, "metrics": {}, "values": {}}
    opened.remember("4" * 64, entry)
    opened.remember("5" * 64, {**entry, "outputs": {"model": uris["gone"]}})
    leases = [
        held(opened.ledger, "runs/3", about={"task": "merge", "inputs": [digests["leased"]]}),
        held(opened.ledger, f"runs/{'4' * 64}", about={"task": "fetch", "inputs": []}),
    ]
    listed = []

    def begin_when_all_are_listed(line: str) -> None:
        listed.append(line)
        if len(listed) == 4:
            for lease in leases:
                lease.__enter__()
            note_uses(opened.ledger, [digests["published"]], "merge")

    monkeypatch.setattr("storm_core.artifact_commands.garbage.answer", begin_when_all_are_listed)
    try:
        assert storm(*COLLECT, "--keep", uris["kept"])[0] == 0
    finally:
        for lease in leases:
            lease.__exit__(None, None, None)
    assert there(store) == {uri for name, uri in uris.items() if name != "gone"}
    assert sorted(line for line in listed if line.startswith("kept")) == sorted(
        [
            f"kept  artifact {uris['leased']}  merge uses it",
            f"kept  artifact {uris['recalled']}  fetch uses it",
            f"kept  artifact {uris['published']}  a run has taken it since",
        ]
    )
    assert dict(opened.results()) == {"4" * 64: entry}


def test_what_leads_to_nothing_goes_and_what_was_taken_lately_stays(store: str, storm: Storm) -> None:
    kept, taken, old = (make(store, "model", name) for name in (b"kept", b"taken", b"old"))
    opened = open_store(store)
    for number, uri in enumerate((kept, old, f"{store}/model/{'0' * 64}")):
        opened.remember(f"{number}" * 64, {"outputs": {"model": uri}, "metrics": {}, "values": {}})
    note_uses(opened.ledger, [digest_in(taken), digest_in(old)], "merge")
    out = storm("gc", "--delete")[1]
    assert out.splitlines()[-1] == f"removed  remembered result {'2' * 64}"
    assert storm("gc", "--delete", "--keep", kept)[1] == "", "all of it is young"
    time.sleep(CLOCK_SECONDS)
    assert storm(*COLLECT, "--keep", kept, "--keep", taken)[0] == 0
    assert there(store) == {kept, taken}
    assert [key for key, _ in opened.results()] == ["0" * 64]
    assert set(opened.ledger.ages("used")) == {f"used/{digest_in(taken)}/merge"}


def test_leases_that_ended_go_once_nobody_waits_for_them(
    store: str, storm: Storm, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = open_store(store).ledger
    with held(ledger, "runs/1", about={"task": "merge", "inputs": []}):
        pass
    assert storm(*COLLECT)[1] == "", "somebody may have seen it held"
    monkeypatch.setattr("storm_core.stores.garbage_collection._LEASE_ENDED", timedelta(0))
    time.sleep(CLOCK_SECONDS)
    assert "removed  lease leases/runs/1/00000001" in storm(*COLLECT)[1]
    assert ledger.ages("leases") == {}


def test_model_of_another_registry_is_kept_until_that_one_is_asked(
    store: str, storm: Storm, registry: MlflowClient, empty_registry: Path, tmp_path: Path
) -> None:
    ours, theirs, evaluation = make(store, "model", b"o"), make(store, "model", b"t"), make(store, "evaluation", b"e")
    register(registry, ours)
    shutil.copy(empty_registry, tmp_path / "other.db")
    address = f"sqlite:///{tmp_path}/other.db"
    note_registration(
        open_store(store).ledger,
        Registration(digest=digest_in(theirs), registry=address, name="x", decided_by=(digest_in(evaluation),)),
    )
    code, out, err = storm(*COLLECT, "--keep-registered")
    assert (code, out) == (0, "")
    assert f"registered as x at {address}, which --registry would ask" in err
    register(MlflowClient(address, address), theirs)
    assert storm(*COLLECT, "--keep-registered", "--registry", address)[0] == 0
    assert there(store) == {ours, theirs}, "the evaluation is of no version there"
    MlflowClient(address, address).delete_registered_model("storm")
    assert storm(*COLLECT, "--keep-registered", "--registry", address)[0] == 0
    assert there(store) == {ours}
    assert open_store(store).ledger.ages("registered") == {}


def test_registry_that_cannot_be_asked_stops_before_anything_goes(
    store: str, storm: Storm, monkeypatch: pytest.MonkeyPatch, listed: Callable[[], list[str]]
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    kept = make(store, "model", b"x")
    before = listed()
    code, out, err = storm(*COLLECT, "--keep", kept, "--registry", "http://user:secret@127.0.0.1:9")
    assert (code, out) == (1, "")
    assert "the registry http://127.0.0.1:9 cannot be asked what to keep" in err.splitlines()[-1]
    assert "secret" not in err
    assert listed() == before


def test_other_teams_and_stores_below_are_not_touched(store: str, storm: Storm, tmp_path: Path) -> None:
    kept = make(store, "model", b"kept")
    others = [f"{store}b", f"{store}/team", f"{store}/model"]
    (tmp_path / "part").write_bytes(b"work")
    for uri in others:
        make(uri, "model", b"theirs")
        other = open_store(uri)
        other.partial_results("1" * 64).keep("part", tmp_path / "part")
        other.remember("1" * 64, {"outputs": {"model": "gone"}})
        note_uses(other.ledger, ["d" * 64], "merge")
    assert storm(*COLLECT, "--keep", kept)[1] == ""
    for uri in others:
        assert len(there(uri)) == 1
        assert len(list(open_store(uri).leftovers())) == 1
        assert len(list(open_store(uri).results())) == 1


def test_what_cannot_be_removed_is_named_and_the_rest_goes(
    store: str, storm: Storm, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, stuck, old = (make(store, "model", name) for name in (b"kept", b"stuck", b"old"))
    kind = type(open_store(store).artifact("model", digest_in(stuck)))
    remove = kind.remove_files

    def refuse(artifact: object, names: list[str]) -> None:
        if artifact.location.uri == stuck:  # type: ignore[attr-defined]
            raise PermissionError(13, "Permission denied")
        remove(artifact, names)  # type: ignore[arg-type]

    monkeypatch.setattr(kind, "remove_files", refuse)
    code, out, err = storm(*COLLECT, "--keep", kept)
    assert code == 1
    assert f"failed  artifact {stuck}  [Errno 13] Permission denied" in out.splitlines()
    assert there(store) == {kept, stuck}
    assert "1 removed, 3 B in artifacts; 0 kept, 1 failed" in err
    assert old not in there(store)


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("https://me:secret@MLflow.example:5000/api/?token=secret#secret", "https://mlflow.example:5000/api"),
        ("postgresql://me:sec@ret@host/Storm", "postgresql://host/Storm"),
        ("sqlite:////srv/MLflow.db", "sqlite:////srv/MLflow.db"),
        ("runs/mlruns/", "runs/mlruns"),
        ("databricks", "databricks"),
    ],
)
def test_address_of_a_registry_has_no_secret(uri: str, address: str) -> None:
    assert registry_address(uri) == address


@pytest.mark.parametrize("days", ["-1", "nan", "inf"])
def test_days_that_no_calendar_has_are_refused(days: str, store: str, storm: Storm) -> None:
    code, _, err = storm("gc", f"--keep-days={days}")
    assert code == 1
    assert "--keep-days must be from 0 to 36500, got" in err


@pytest.mark.parametrize("store", ["file"], indirect=True)
def test_what_is_old_and_was_taken_lately_is_not_even_listed(store: str, storm: Storm) -> None:
    kept, taken, old = (make(store, "model", name) for name in (b"kept", b"taken", b"old"))
    for path in (path for uri in (taken, old) for path in Path(uri.removeprefix("file://")).iterdir()):
        os.utime(path, (0, 0))
    note_uses(open_store(store).ledger, [digest_in(taken)], "merge")
    assert storm("gc", "--keep", kept)[1].splitlines() == [f"artifact {old}  3 B  nothing that is kept needs it"]
