"""A store and manifests that the last release wrote stay readable; `last_release/README.md` says how they were made."""

import shutil
from pathlib import Path

import pytest

from storm_core.artifacts import open_directory
from storm_core.cli import main
from storm_core.manifest import MANIFEST_NAME, read_manifest
from storm_core.records import read_examples
from storm_core.stores.references import open_reference, open_store

WRITTEN = Path(__file__).parent / "last_release"
KINDS = {"data", "examples", "selection", "verdicts"}
# Where it lay when it was written.
ORIGINAL_STORE = "file:///srv/storm"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """URI of a copy of the old store, which the environment names too."""
    shutil.copytree(WRITTEN / "store", tmp_path / "store")
    uri = (tmp_path / "store").as_uri()
    monkeypatch.setenv("STORM_STORE", uri)
    return uri


def uris(store: str) -> dict[str, str]:
    return {place.kind: place.location.uri for place in open_store(store).places()}


def test_every_artifact_opens_and_is_verified(store: str) -> None:
    assert set(uris(store)) == KINDS
    for kind, uri in uris(store).items():
        assert open_reference(uri).manifest.kind == kind


def test_artifact_commands_list_show_trace_and_verify_it(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    def storm(*arguments: str) -> str:
        assert main(["artifact", *arguments]) == 0
        return capsys.readouterr().out

    listed = storm("ls")
    assert all(uri in listed for uri in uris(store).values())
    assert "made by  select 0.1.0" in storm("show", uris(store)["selection"])
    lineage = storm("lineage", uris(store)["selection"])
    assert all(line in lineage for line in ("by select", "by score", "by prepare", "source, /srv/data"))
    assert [line.split()[0] for line in storm("verify").splitlines()] == ["ok"] * len(KINDS)


def test_what_earlier_runs_left_can_be_recalled(store: str) -> None:
    opened = open_store(store)
    for place in opened.places():
        if place.kind == "data":
            continue
        manifest = opened.artifact(place.kind, place.digest).manifest()
        entry = opened.recall(manifest.producer["key"])
        assert entry is not None
        assert entry["outputs"] == {place.kind: f"{ORIGINAL_STORE}/{place.kind}/{place.digest}"}
        assert entry["metrics"] == manifest.metrics


@pytest.mark.parametrize("examples", ["in the store", "without a store"])
def test_its_artifacts_are_inputs_of_today_s_stages(
    examples: str, store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The verdicts by the manifest that travelled alone, the examples by URI and as a directory."""
    travelled = (WRITTEN / "verdicts" / MANIFEST_NAME).read_text()
    manifest = tmp_path / MANIFEST_NAME
    manifest.write_text(travelled.replace(ORIGINAL_STORE, store))
    reference = uris(store)["examples"] if examples == "in the store" else str(WRITTEN / "examples")
    inputs = ["--examples", reference, "--verdicts", str(manifest)]
    options = ["--min-educational-value", "1.0", "--difficulties", '["easy", "medium", "hard"]']
    assert main(["select", *inputs, *options, "--selection", str(tmp_path / "selection")]) == 0
    assert "read=6  kept=6" in capsys.readouterr().err
    selected = open_reference(str(tmp_path / "selection"))
    assert [len(list(read_examples(selected.file(f"{split}.parquet")))) for split in ("train", "validation")] == [5, 1]


def test_directory_of_the_last_release_is_an_artifact() -> None:
    artifact = open_directory(WRITTEN / "examples")
    assert artifact.manifest == read_manifest(WRITTEN / "examples" / MANIFEST_NAME)
    assert artifact.manifest.producer["version"] == "0.1.0"
