import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from storm_core.stores.references import open_store
from tests.stores.conftest import Storm, digest_in, make
from tests.stores.crashing import PART_BYTES


class Versions(list[Any]):
    """One page of a registry with a single model version; MLflow itself would refuse some of the sources."""

    token = None

    def __init__(self, source: str) -> None:
        super().__init__([ModelVersion("storm", "1", 0, source=source)])


def test_gc_lists_first_and_deletes_only_on_request(store: str, storm: Storm, listed: Callable[[], list[str]]) -> None:
    old = make(store, "model", b"old")
    base = make(store, "model", b"base")
    kept = make(store, "model", b"kept", inputs={"model": [digest_in(base)]})
    before = listed()
    code, out, _ = storm("gc", "--keep-days", "0", "--keep", kept)
    assert code == 0
    assert listed() == before
    assert old in out
    assert base not in out, "what a kept artifact was made from is kept"
    assert storm("gc", "--keep-days", "0", "--keep", kept, "--delete")[0] == 0
    assert {digest_in(base), digest_in(kept)} == {
        json.loads(row)["digest"] for row in storm("ls", "--json")[1].split("\n") if row
    }
    assert not [name for name in listed() if digest_in(old) in name]


def test_gc_leaves_what_is_young_and_what_is_finished(
    store: str, storm: Storm, listed: Callable[[], list[str]]
) -> None:
    kept = make(store, "model", b"kept")
    make(store, "model", b"other")
    before = listed()
    assert storm("gc", "--keep", kept, "--delete")[0] == 0
    assert storm("gc", "--keep-days", "0", "--delete")[0] == 0
    assert listed() == before


def test_gc_removes_what_unfinished_work_left(store: str, storm: Storm, tmp_path: Path, listed: Any) -> None:
    finished = make(store, "model", b"finished")
    (tmp_path / "part").write_bytes(b"half the work")
    open_store(store).partial_results("1" * 64).keep("replies.parquet", tmp_path / "part")
    unfinished = make(store, "model", b"unfinished")
    open_store(store).artifact("model", digest_in(unfinished)).remove_files([])  # Its manifest alone.
    assert storm("gc", "--delete")[1] == "", "all of it is young"
    code, out, _ = storm("gc", "--keep-days", "0", "--delete")
    assert code == 0
    assert len(out.splitlines()) == 4, "two that are listed, and then removed"
    assert {name for name in listed() if digest_in(finished) not in name} == set()


def test_gc_aborts_uploads_that_were_never_completed(place: Any, storm: Storm) -> None:
    key = f"{place.prefix}/model/{'2' * 64}/model.safetensors"
    upload = place.client.create_multipart_upload(Bucket=place.bucket, Key=key)
    place.client.upload_part(
        Bucket=place.bucket, Key=key, UploadId=upload["UploadId"], PartNumber=1, Body=b"x" * PART_BYTES
    )
    assert storm("gc", "--keep-days", "0", "--delete")[0] == 0
    listed = place.client.list_multipart_uploads(Bucket=place.bucket, Prefix=f"{place.prefix}/")
    assert not listed.get("Uploads")


def test_gc_keeps_registered_models_and_their_ancestors(
    store: str, storm: Storm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    base = make(store, "model", b"base")
    registered = make(store, "model", b"registered", inputs={"model": [digest_in(base)]})
    unneeded = make(store, "model", b"unneeded")
    client = MlflowClient()
    client.create_registered_model("storm")
    client.create_model_version("storm", registered)
    code, out, _ = storm("gc", "--keep-days", "0", "--keep-registered", "--delete")
    assert code == 0
    assert [line.split()[:2] for line in out.splitlines()] == [["artifact", unneeded], ["removed", "artifact"]]


def test_gc_keeps_what_was_registered_from_a_store_of_its_own_below_this_one(
    store: str, storm: Storm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listed: Callable[[], list[str]]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    base = make(store, "model", b"base")
    nested = make(f"{store}/team", "model", b"nested", inputs={"model": [digest_in(base)]})
    monkeypatch.setattr("mlflow.MlflowClient.search_model_versions", lambda *_, **__: Versions(nested))
    before = listed()
    assert storm("gc", "--keep-days", "0", "--keep-registered", "--delete")[0] == 0
    assert listed() == before


@pytest.mark.parametrize(
    "source", ["{store}/../elsewhere/model", "{store}/deep/model/{digest}", f"{{store}}/model/{'0' * 64}"]
)
def test_gc_removes_nothing_where_a_registered_model_is_not_where_the_registry_says(
    source: str,
    store: str,
    storm: Storm,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    listed: Callable[[], list[str]],
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    named = source.format(store=store, digest=digest_in(make(store, "model", b"x")))
    monkeypatch.setattr("mlflow.MlflowClient.search_model_versions", lambda *_, **__: Versions(named))
    before = listed()
    code, _, err = storm("gc", "--keep-days", "0", "--keep-registered", "--delete")
    assert code == 1
    assert named.partition("/../")[0] in err.splitlines()[-1]
    assert listed() == before


def test_gc_without_anything_to_keep_deletes_no_finished_artifact(
    store: str, storm: Storm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    make(store, "model", b"x")
    code, _, err = storm("gc", "--keep-days", "0", "--keep-registered", "--delete")
    assert code == 1
    assert "nothing to keep" in err
