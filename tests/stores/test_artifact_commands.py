import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from storm_core.artifacts import MANIFEST_NAME, open_directory, read_manifest, seal
from storm_core.cli import main
from storm_core.stores.references import open_store, reference_manifest
from tests.stores.crashing import PART_BYTES


@pytest.fixture(params=["file", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """URI of an empty store, which the environment names too."""
    if request.param == "s3":
        uri: str = request.getfixturevalue("place").uri
        return uri
    uri = (tmp_path / "store").as_uri()
    monkeypatch.setenv("STORM_STORE", uri)
    return uri


@pytest.fixture
def storm(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run `storm artifact`; gives exit code, standard output and standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["artifact", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


Storm = Callable[..., tuple[int, str, str]]


def make(store: str, kind: str, content: bytes, inputs: dict[str, list[str]] | None = None) -> str:
    """Publish a one-file artifact as a stage would; returns its URI."""
    opened = open_store(store)
    directory = opened.staging_directory()
    (directory / "a.bin").write_bytes(content)
    producer = {"verb": f"make-{kind}", "version": "0", "config": {"t": 0.5}}
    manifest = seal(directory, kind, producer=producer, inputs=inputs or {}, metrics={"loss": 0.25})
    return opened.publish(directory, manifest).uri


def digest_of(uri: str) -> str:
    return uri.rpartition("/")[2]


def files_below(store: str, place: Any) -> list[str]:
    if store.startswith("s3://"):
        keys: list[str] = place.list_keys()
        return keys
    root = Path(store.removeprefix("file://"))
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


@pytest.fixture
def listed(store: str, request: pytest.FixtureRequest) -> Callable[[], list[str]]:
    """Every file in the store, looked at without our own code."""
    place = request.getfixturevalue("place") if store.startswith("s3://") else None
    return lambda: files_below(store, place)


def test_ls_lists_kind_size_and_uri_the_newest_first(store: str, storm: Storm) -> None:
    model = make(store, "model", b"x" * 2000)
    scan = make(store, "scan", b"y")
    code, out, _ = storm("ls")
    header, *rows = out.splitlines()
    assert code == 0
    assert header.split() == ["KIND", "DIGEST", "FILES", "SIZE", "MODIFIED", "URI"]
    assert {row.split()[0] for row in rows} == {"model", "scan"}
    assert any("2.0 kB" in row and model in row for row in rows)
    _, out, _ = storm("ls", "--kind", "scan", "--json")
    (row,) = [json.loads(line) for line in out.splitlines()]
    assert (row["kind"], row["uri"], row["size"], row["files"]) == ("scan", scan, 1, 1)


def test_show_tells_producer_options_metrics_and_files(store: str, storm: Storm) -> None:
    uri = make(store, "model", b"x")
    code, out, _ = storm("show", uri)
    assert code == 0
    for told in ("make-model 0", "0.5", "loss", "0.25", "a.bin", digest_of(uri)):
        assert told in out
    _, out, _ = storm("show", uri, "--json")
    assert json.loads(out)["digest"] == digest_of(uri)


def test_pushed_directory_comes_back_as_it_was(store: str, tree: Path, tmp_path: Path, storm: Storm) -> None:
    before = open_directory(tree).manifest
    code, out, _ = storm("push", str(tree), "--kind", "model")
    uri = out.strip()
    assert code == 0
    assert open_directory(tree).manifest == before, "push took something from the directory or left something there"
    assert storm("pull", uri, str(tmp_path / "pulled"))[0] == 0
    pulled = open_directory(tmp_path / "pulled")
    assert pulled.manifest.files == before.files
    assert pulled.manifest.kind == "model"
    assert pulled.manifest.references == {"source": [str(tree)]}


def test_artifact_is_copied_from_one_store_to_another_with_its_manifest(
    store: str, tmp_path: Path, storm: Storm
) -> None:
    uri = make(store, "model", b"x", inputs={"data": ["0" * 64]})
    other = (tmp_path / "other").as_uri()
    code, out, _ = storm("push", uri, other)
    assert code == 0
    copied = reference_manifest(out.strip())
    assert (copied.digest, copied.inputs) == (digest_of(uri), {"data": ["0" * 64]})


def test_foreign_directory_needs_a_kind_and_an_artifact_keeps_its_own(
    store: str, small_tree: Path, storm: Storm
) -> None:
    code, _, err = storm("push", str(small_tree))
    assert code == 1
    assert "say with --kind what it is" in err
    for kind in ("../model", "a/b", ".hidden"):
        assert storm("push", str(small_tree), "--kind", kind)[0] == 1
    code, _, err = storm("push", make(store, "model", b"x"), "--kind", "scan")
    assert code == 1
    assert "is of kind 'model', not 'scan'" in err


def test_pull_leaves_a_directory_with_files_alone(store: str, tmp_path: Path, storm: Storm) -> None:
    uri = make(store, "model", b"x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("years of work")
    code, _, err = storm("pull", uri, str(tmp_path / "full"))
    assert code == 1
    assert "pull into a new directory" in err
    assert (tmp_path / "full" / "thesis.txt").read_text() == "years of work"


def test_pull_of_a_damaged_artifact_leaves_no_directory(
    store: str, tmp_path: Path, storm: Storm, damage: Callable[[str], None]
) -> None:
    uri = make(store, "model", b"x" * 100)
    damage(uri)
    code, _, err = storm("pull", uri, str(tmp_path / "pulled"))
    assert code == 1
    assert "altered" in err
    assert not (tmp_path / "pulled").exists()


@pytest.fixture
def damage(store: str, request: pytest.FixtureRequest) -> Iterator[Callable[[str], None]]:
    """Flip a byte of an artifact's file behind the store's back."""

    def flip(uri: str) -> None:
        if store.startswith("s3://"):
            place = request.getfixturevalue("place")
            key = f"{place.key_of(uri)}/a.bin"
            place.write(key, b"?" + place.read(key)[1:])
        else:
            path = Path(uri.removeprefix("file://")) / "a.bin"
            path.write_bytes(b"?" + path.read_bytes()[1:])

    yield flip


def test_verify_finds_the_damaged_artifact_and_removes_it_on_request(
    store: str, storm: Storm, damage: Callable[[str], None]
) -> None:
    good, bad = make(store, "model", b"good"), make(store, "model", b"bad")
    assert storm("verify")[0] == 0
    damage(bad)
    code, out, _ = storm("verify")
    assert code == 1
    assert f"damaged  {bad}  a.bin" in out
    assert f"ok       {good}" in out
    assert storm("verify", bad, "--remove-damaged")[0] == 1
    assert storm("verify")[0] == 0
    assert make(store, "model", b"bad") == bad
    assert storm("verify", bad)[0] == 0


def test_lineage_goes_back_to_the_sources(store: str, storm: Storm, small_tree: Path) -> None:
    base = storm("push", str(small_tree), "--kind", "model")[1].strip()
    tuned = make(store, "model", b"tuned", inputs={"model": [digest_of(base)]})
    merged = make(store, "model", b"merged", inputs={"base_model": [digest_of(tuned)], "other": [digest_of(base)]})
    code, out, _ = storm("lineage", merged)
    assert code == 0
    lines = out.splitlines()
    assert [len(line) - len(line.lstrip()) for line in lines] == [0, 2, 4, 6, 2]
    assert lines[1].strip().startswith(f"base_model: model {digest_of(tuned)[:12]} by make-model")
    assert str(small_tree) in lines[3], "the source that was pushed is named"
    assert lines[4].endswith("(see above)")
    rows = [json.loads(line) for line in storm("lineage", merged, "--json")[1].splitlines()]
    assert [row["depth"] for row in rows] == [0, 1, 2, 3, 1]


def test_gc_lists_first_and_deletes_only_on_request(store: str, storm: Storm, listed: Callable[[], list[str]]) -> None:
    old = make(store, "model", b"old")
    base = make(store, "model", b"base")
    kept = make(store, "model", b"kept", inputs={"model": [digest_of(base)]})
    before = listed()
    code, out, _ = storm("gc", "--min-age-hours", "0", "--keep", kept)
    assert code == 0
    assert listed() == before
    assert old in out
    assert base not in out, "what a kept artifact was made from is kept"
    assert storm("gc", "--min-age-hours", "0", "--keep", kept, "--delete")[0] == 0
    assert {digest_of(base), digest_of(kept)} == {
        json.loads(row)["digest"] for row in storm("ls", "--json")[1].split("\n") if row
    }
    assert not [name for name in listed() if digest_of(old) in name]


def test_gc_leaves_what_is_young_and_what_is_finished(
    store: str, storm: Storm, listed: Callable[[], list[str]]
) -> None:
    kept = make(store, "model", b"kept")
    make(store, "model", b"other")
    before = listed()
    assert storm("gc", "--keep", kept, "--delete")[0] == 0
    assert storm("gc", "--min-age-hours", "0", "--delete")[0] == 0
    assert listed() == before


def test_gc_removes_what_unfinished_work_left(store: str, storm: Storm, tmp_path: Path, listed: Any) -> None:
    finished = make(store, "model", b"finished")
    (tmp_path / "part").write_bytes(b"half the work")
    open_store(store).partial_results("1" * 64).keep("replies.parquet", tmp_path / "part")
    unfinished = make(store, "model", b"unfinished")
    open_store(store).artifact("model", digest_of(unfinished)).remove_files([])  # Its manifest alone.
    assert storm("gc", "--delete")[1] == "", "all of it is young"
    code, out, _ = storm("gc", "--min-age-hours", "0", "--delete")
    assert code == 0
    assert len(out.splitlines()) == 2
    assert {name for name in listed() if digest_of(finished) not in name} == set()


def test_gc_aborts_uploads_that_were_never_completed(place: Any, storm: Storm) -> None:
    key = f"{place.prefix}/model/{'2' * 64}/model.safetensors"
    upload = place.client.create_multipart_upload(Bucket=place.bucket, Key=key)
    place.client.upload_part(
        Bucket=place.bucket, Key=key, UploadId=upload["UploadId"], PartNumber=1, Body=b"x" * PART_BYTES
    )
    assert storm("gc", "--min-age-hours", "0", "--delete")[0] == 0
    listed = place.client.list_multipart_uploads(Bucket=place.bucket, Prefix=f"{place.prefix}/")
    assert not listed.get("Uploads")


def test_gc_keeps_registered_models_and_their_ancestors(
    store: str, storm: Storm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    base = make(store, "model", b"base")
    registered = make(store, "model", b"registered", inputs={"model": [digest_of(base)]})
    unneeded = make(store, "model", b"unneeded")
    client = MlflowClient()
    client.create_registered_model("storm")
    client.create_model_version("storm", registered)
    code, out, _ = storm("gc", "--min-age-hours", "0", "--keep-registered", "--delete")
    assert code == 0
    assert out.count("artifact ") == 1
    assert unneeded in out


def test_gc_without_anything_to_keep_deletes_no_finished_artifact(
    store: str, storm: Storm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    make(store, "model", b"x")
    code, _, err = storm("gc", "--min-age-hours", "0", "--keep-registered", "--delete")
    assert code == 1
    assert "nothing to keep" in err


def test_commands_without_a_store_say_how_to_name_one(storm: Storm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STORM_STORE", raising=False)
    code, _, err = storm("ls")
    assert code == 1
    assert "set STORM_STORE" in err


def test_reference_to_nothing_is_one_line(store: str, storm: Storm, tmp_path: Path) -> None:
    for command in (("show",), ("lineage",), ("pull",)):
        directory = (str(tmp_path / "new"),) if command == ("pull",) else ()
        code, _, err = storm(*command, f"{store}/model/{'0' * 64}", *directory)
        assert code == 1
        assert len(err.splitlines()) == 1
        assert "0" * 64 in err


def test_manifest_in_the_store_is_that_of_the_stage(store: str, storm: Storm, tmp_path: Path) -> None:
    uri = make(store, "model", b"x")
    storm("pull", uri, str(tmp_path / "pulled"))
    manifest = read_manifest(tmp_path / "pulled" / MANIFEST_NAME)
    assert manifest.producer["verb"] == "make-model"
    assert manifest.uri is None
