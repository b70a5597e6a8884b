from pathlib import Path

import pytest

from storm_core.artifacts import open_directory, seal
from storm_core.errors import InputError
from storm_core.manifest import read_manifest, write_manifest
from storm_core.stores.file_store import FileStore
from storm_core.stores.locations import FileLocation
from storm_core.stores.references import open_reference, store_from_environment


def store_in(directory: Path) -> FileStore:
    return FileStore(FileLocation(path=directory))


def publish(store: FileStore, content: bytes) -> FileLocation:
    directory = store.staging_directory()
    (directory / "a.bin").write_bytes(content)
    return store.publish(directory, seal(directory, "model", producer={}, inputs={}, metrics={}))


def test_published_artifact_lies_under_kind_and_digest(tmp_path: Path) -> None:
    location = publish(store_in(tmp_path), b"x")
    artifact = open_reference(location.uri)
    assert location.path == tmp_path / "model" / artifact.digest
    assert artifact.reference == location.uri == location.path.as_uri()


def test_same_content_is_kept_once(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    assert publish(store, b"x") == publish(store, b"x")
    assert len(list((tmp_path / "model").iterdir())) == 1
    assert not list((tmp_path / ".staging").iterdir())


def test_damaged_content_is_replaced_when_it_is_published_again(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    location = publish(store, b"x")
    (location.path / "a.bin").write_bytes(b"y")
    assert publish(store, b"x") == location
    assert open_reference(location.uri).file("a.bin").read_bytes() == b"x"


def test_manifest_that_travels_alone_leads_to_its_content(tmp_path: Path) -> None:
    location = publish(store_in(tmp_path / "store"), b"x")
    (tmp_path / "travelling").mkdir()
    from dataclasses import replace

    manifest = read_manifest(location.path / "manifest.json")
    write_manifest(tmp_path / "travelling", replace(manifest, uri=location.uri))
    for reference in (tmp_path / "travelling", tmp_path / "travelling" / "manifest.json"):
        assert open_reference(str(reference)).file("a.bin").read_bytes() == b"x"


def test_manifest_that_points_at_other_content_is_refused(tmp_path: Path) -> None:
    from dataclasses import replace

    store = store_in(tmp_path / "store")
    one, other = publish(store, b"one"), publish(store, b"other")
    (tmp_path / "travelling").mkdir()
    write_manifest(tmp_path / "travelling", replace(open_reference(one.uri).manifest, uri=other.uri))
    with pytest.raises(InputError, match="says digest"):
        open_reference(str(tmp_path / "travelling"))


@pytest.mark.parametrize(
    "uri",
    [
        "gs://bucket/x",
        "http://host/x",
        "file://host/x",
        "file:///a/../b",
        "file:///a/%2e%2e/b",
        "file:///a%5cb",
        "file:///a%00b",
        "file:///a?x=1",
        "file:///a#b",
    ],
)
def test_uri_that_is_not_a_plain_local_path_is_refused(uri: str) -> None:
    with pytest.raises(InputError):
        open_reference(uri)


def test_store_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert store_from_environment() is None
    monkeypatch.setenv("STORM_STORE", (tmp_path / "with space").as_uri())
    store = store_from_environment()
    assert isinstance(store, FileStore)
    assert store.location.path == tmp_path / "with space"


def test_damaged_stored_artifact_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    location = publish(store_in(tmp_path), b"x")
    (location.path / "a.bin").write_bytes(b"y")
    with pytest.raises(InputError, match=r"a\.bin"):
        open_reference(location.uri)


def test_results_are_remembered_by_key(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    assert store.recall("key") is None
    store.remember("key", {"outputs": {"model": "file:///x"}})
    store.remember("key", {"outputs": {"model": "file:///y"}})
    assert store.recall("key") == {"outputs": {"model": "file:///y"}}


def test_directory_that_does_not_exist_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        open_directory(tmp_path / "nowhere")
