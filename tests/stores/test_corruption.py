"""Damage in the bucket is an error that names the file and nothing of it is used; damage in the cache is repaired."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from storm_core.errors import InputError
from storm_core.manifest import FileEntry, content_digest, parse_manifest
from tests.stores.conftest import S3Place
from tests.stores.crashing import PART_BYTES, Work, digest_of, open_artifact, publish, seal_tree
from tests.stores.fault_proxy import FaultProxy, flip

SHARD = "model.safetensors"
Damage = Callable[[S3Place, str], None]


@pytest.fixture
def tree(small_tree: Path) -> Path:
    """A shard of two parts and a small file are enough here."""
    return small_tree


@pytest.fixture
def published_here(work: Work, place: S3Place) -> str:
    """URI of the tree, published for this test to damage."""
    return publish(work)


BUCKET_DAMAGES: dict[str, tuple[Damage, str]] = {
    "flipped byte in the first part": (
        lambda place, root: place.write(f"{root}/{SHARD}", flip(place.read(f"{root}/{SHARD}"), 0)),
        f"{SHARD} does not have the SHA-256",
    ),
    "flipped byte at the end": (
        lambda place, root: place.write(f"{root}/{SHARD}", flip(place.read(f"{root}/{SHARD}"), -1)),
        f"{SHARD} does not have the SHA-256",
    ),
    "truncated shard": (
        lambda place, root: place.write(f"{root}/{SHARD}", place.read(f"{root}/{SHARD}")[:PART_BYTES]),
        f"{SHARD} has {PART_BYTES} bytes",
    ),
    "emptied shard": (lambda place, root: place.write(f"{root}/{SHARD}", b""), f"{SHARD} "),
    "longer shard": (
        lambda place, root: place.write(f"{root}/{SHARD}", place.read(f"{root}/{SHARD}") + b"x"),
        f"{SHARD} has {PART_BYTES + 100_001} bytes",
    ),
    "missing shard": (lambda place, root: place.remove(f"{root}/{SHARD}"), f"{SHARD} is missing"),
    "missing small file": (lambda place, root: place.remove(f"{root}/config.json"), "config.json is missing"),
    "missing manifest": (lambda place, root: place.remove(f"{root}/manifest.json"), "no manifest.json"),
    "empty manifest": (lambda place, root: place.write(f"{root}/manifest.json", b""), "not a readable manifest"),
    "half a manifest": (
        lambda place, root: place.write(f"{root}/manifest.json", place.read(f"{root}/manifest.json")[:200]),
        "not a readable manifest",
    ),
    "altered list in the manifest": (
        lambda place, root: place.write(
            f"{root}/manifest.json", place.read(f"{root}/manifest.json").replace(b'"size": 700', b'"size": 701')
        ),
        "was altered",
    ),
    "another kind in the manifest": (
        lambda place, root: place.write(
            f"{root}/manifest.json", place.read(f"{root}/manifest.json").replace(b'"model"', b'"report"')
        ),
        "was altered",
    ),
}


@pytest.mark.parametrize("damage", BUCKET_DAMAGES)
def test_damage_in_the_bucket_is_an_error_that_names_the_file(
    damage: str, published_here: str, place: S3Place, fresh: Work
) -> None:
    act, message = BUCKET_DAMAGES[damage]
    act(place, place.key_of(published_here))
    with pytest.raises(InputError) as caught:
        open_artifact(replace(fresh, uri=published_here))
    assert message in str(caught.value)
    assert place.uri in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list((fresh.cache / "artifacts").glob("*"))


@pytest.mark.parametrize("damage", ["truncated shard", "longer shard", "missing shard", "missing small file"])
def test_publishing_again_repairs_what_is_missing_in_the_bucket(
    damage: str, published_here: str, place: S3Place, work: Work, fresh: Work
) -> None:
    act, _ = BUCKET_DAMAGES[damage]
    act(place, place.key_of(published_here))
    assert publish(work) == published_here
    assert open_artifact(replace(fresh, uri=published_here)) == digest_of(work.tree)


def test_extra_file_in_the_bucket_is_ignored(published_here: str, place: S3Place, fresh: Work, work: Work) -> None:
    place.write(f"{place.key_of(published_here)}/model-00009.safetensors", b"foreign")
    assert open_artifact(replace(fresh, uri=published_here)) == digest_of(work.tree)
    assert not list(fresh.cache.rglob("model-00009*"))


def test_manifest_of_another_artifact_is_refused(
    published_here: str, place: S3Place, work: Work, fresh: Work, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_bytes(b"{}")
    other = publish(replace(work, tree=tmp_path / "other"))
    foreign = place.read(f"{place.key_of(other)}/manifest.json")
    place.write(f"{place.key_of(published_here)}/manifest.json", foreign)
    with pytest.raises(InputError, match="manifest of another artifact"):
        open_artifact(replace(fresh, uri=published_here))
    with pytest.raises(InputError, match="manifest of another artifact"):
        publish(replace(work, cache=tmp_path / "third-cache"))


def manifest_listing(names: list[str], kind: str = "model") -> bytes:
    """A manifest with these names and a right digest, as somebody may write who knows how."""
    files = tuple(FileEntry(path=name, size=3, sha256=hashlib.sha256(b"bad").hexdigest()) for name in names)
    digest = content_digest(kind, files)
    listed = [asdict(entry) for entry in files]
    return json.dumps({"format": 1, "kind": kind, "files": listed, "digest": digest}).encode()


def test_manifest_listing_is_what_a_reader_takes() -> None:
    names = ["a", "b/a", "b/c d", "é.json", "x" * 240]
    assert [entry.path for entry in parse_manifest(manifest_listing(names), "here").files] == names


@pytest.mark.parametrize(
    "names",
    [
        ["../x"],
        ["a/../../x"],
        ["/etc/x"],
        ["a//b"],
        ["a/"],
        ["./a"],
        ["a/."],
        ["."],
        [".."],
        [""],
        ["a\\..\\x"],
        ["a\0b"],
        ["a\nb"],
        ["a", "a"],
        ["a", "a/b"],
        ["a/b/c", "a"],
        ["manifest.json"],
        [".manifest.json.partial"],
        ["a", ".a.part"],
        ["a/.hidden/b"],
        ["\ud800"],
        ["x" * 300],
        ["\u00e9" * 200],
        ["/".join("x" * 200 for _ in range(5))],
    ],
)
def test_manifest_with_a_name_that_cannot_be_is_refused(names: list[str]) -> None:
    with pytest.raises(InputError, match="here lists"):
        parse_manifest(manifest_listing(names), "here")


@pytest.mark.parametrize("kind", ["../x", "a/b", "..", ".", ".results", "a\\b", "a\0", "/etc", "\ud800"])
def test_manifest_with_a_kind_that_is_no_plain_name_is_refused(kind: str) -> None:
    with pytest.raises(InputError, match="here says the kind"):
        parse_manifest(manifest_listing(["a"], kind), "here")


@pytest.mark.parametrize("name", ["../x", "../../artifacts/x", "/tmp/storm-test-escape"])  # noqa: S108
def test_name_that_leads_outside_is_refused_before_anything_is_fetched(
    name: str, place: S3Place, fresh: Work, proxy: FaultProxy
) -> None:
    content = manifest_listing([name])
    uri = f"{place.uri}/model/{json.loads(content)['digest']}"
    place.write(f"{place.key_of(uri)}/manifest.json", content)
    with pytest.raises(InputError, match="lists"):
        open_artifact(replace(fresh, uri=uri))
    assert [one.request.path.rpartition("/")[2] for one in proxy.requests()] == ["manifest.json"]
    assert not Path("/tmp/storm-test-escape").exists()  # noqa: S108
    assert not [path for path in fresh.cache.parent.rglob("*") if path.name == "x"]


@pytest.mark.parametrize("name", ["back\\slash", "new\nline", "x" * 250, "\udcff"])
def test_file_with_a_name_that_no_reader_takes_is_refused_when_it_is_sealed(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(InputError, match="lists the file"):
        seal_tree(tmp_path)
    assert not (tmp_path / "manifest.json").exists()


CACHE_DAMAGES: dict[str, Callable[[Path], object]] = {
    "flipped byte": lambda path: _write_changed(path / SHARD, lambda content: flip(content, 1000)),
    "truncated shard": lambda path: _write_changed(path / SHARD, lambda content: content[:1000]),
    "missing file": lambda path: (path / "config.json").unlink(),
    "missing manifest": lambda path: (path / "manifest.json").unlink(),
    "damaged manifest": lambda path: _write_changed(path / "manifest.json", lambda content: content[:10]),
    "link in the place of a file": lambda path: _replace_by_link(path / "config.json"),
    "extra file": lambda path: (path / "model-00009.safetensors").write_bytes(b"foreign"),
}


@pytest.mark.parametrize("damage", CACHE_DAMAGES)
def test_damage_in_the_cache_is_repaired(damage: str, published_here: str, fresh: Work, work: Work) -> None:
    digest = digest_of(work.tree)
    reader = replace(fresh, uri=published_here)
    assert open_artifact(reader) == digest
    CACHE_DAMAGES[damage](fresh.cache / "artifacts" / digest)
    assert open_artifact(reader) == digest
    assert (fresh.cache / "artifacts" / digest / SHARD).read_bytes() == (work.tree / SHARD).read_bytes()


@pytest.mark.parametrize("name", [SHARD, f".{SHARD}.part"])
@pytest.mark.parametrize("change", ["flipped", "longer", "stale"])
def test_damage_in_what_a_killed_process_left_is_repaired(
    name: str, change: str, published_here: str, fresh: Work, work: Work
) -> None:
    digest = digest_of(work.tree)
    content = (work.tree / SHARD).read_bytes()
    left = {"flipped": flip(content[: 3 << 20], 7), "longer": content + b"x", "stale": b"\0" * len(content)}[change]
    partial = fresh.cache / "partial" / digest
    partial.mkdir(parents=True)
    (partial / name).write_bytes(left)
    assert open_artifact(replace(fresh, uri=published_here)) == digest


def test_what_is_in_the_cache_is_not_fetched_again(published_here: str, fresh: Work, proxy: FaultProxy) -> None:
    reader = replace(fresh, uri=published_here)
    open_artifact(reader)
    proxy.forget()
    open_artifact(reader)
    assert [one.request.path.rpartition("/")[2] for one in proxy.requests()] == ["manifest.json"]


def _write_changed(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.chmod(0o644)
    path.write_bytes(change(path.read_bytes()))


def _replace_by_link(path: Path) -> None:
    moved = path.with_name("moved")
    path.rename(moved)
    path.symlink_to(moved)
