"""Several processes at the same place at once: each ends well, and nothing is sent or fetched without need."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import pytest

from storm_core.errors import InputError
from storm_core.stores.s3_artifact import S3Artifact
from tests.stores.conftest import S3Place, write_tree
from tests.stores.crashing import Outcome, Running, Task, Work, digest_of, locate, make_store, open_artifact, publish
from tests.stores.fault_proxy import FaultProxy, flip

READERS = 10


def at_once(jobs: Sequence[tuple[Task, Work]]) -> list[Outcome]:
    """How each of the processes ended; they begin together."""
    start = get_context("forkserver").Barrier(len(jobs))
    running = [Running(task, work, start) for task, work in jobs]
    return [one.outcome() for one in running]


@pytest.mark.parametrize("caches", ["one cache", "two caches"])
def test_two_processes_publish_the_same_content(
    caches: str, work: Work, fresh: Work, place: S3Place, proxy: FaultProxy, digest: str, tmp_path: Path
) -> None:
    other = replace(work, cache=work.cache if caches == "one cache" else tmp_path / "other-cache")
    outcomes = at_once([(publish, work), (publish, other)])
    uri = f"{place.uri}/model/{digest}"
    assert [one.value for one in outcomes] == [uri, uri], outcomes
    assert open_artifact(replace(fresh, uri=uri)) == digest
    assert len(place.list_keys()) == len([path for path in work.tree.rglob("*") if path.is_file()]) + 1
    assert [one.status for one in proxy.requests("PUT", r"manifest\.json$")].count(200) == 1
    assert proxy.bytes_sent(r"safetensors") <= 2 * work.tree_bytes()


def test_two_processes_publish_different_content(
    work: Work, small_tree: Path, fresh: Work, place: S3Place, digest: str
) -> None:
    outcomes = at_once([(publish, work), (publish, replace(work, tree=small_tree))])
    uris = [f"{place.uri}/model/{digest}", f"{place.uri}/model/{digest_of(small_tree)}"]
    assert [one.value for one in outcomes] == uris, outcomes
    assert [open_artifact(replace(fresh, uri=uri)) for uri in uris] == [digest, digest_of(small_tree)]


def test_ten_processes_open_with_one_cache_and_each_byte_is_fetched_once(
    published: str, fresh: Work, proxy: FaultProxy, digest: str
) -> None:
    outcomes = at_once([(open_artifact, replace(fresh, uri=published))] * READERS)
    assert [one.value for one in outcomes] == [digest] * READERS, outcomes
    assert len(proxy.requests("GET", r"manifest\.json$")) == READERS
    assert proxy.bytes_fetched() - proxy.bytes_fetched(r"manifest\.json$") == fresh.tree_bytes()


def test_ten_processes_that_find_a_damaged_copy_fetch_it_again_once(
    published: str, fresh: Work, proxy: FaultProxy, digest: str
) -> None:
    reader = replace(fresh, uri=published)
    open_artifact(reader)
    shard = fresh.cache / "artifacts" / digest / "model-00002.safetensors"
    shard.chmod(0o644)
    shard.write_bytes(flip(shard.read_bytes(), 5))
    proxy.forget()
    outcomes = at_once([(open_artifact, reader)] * READERS)
    assert [one.value for one in outcomes] == [digest] * READERS, outcomes
    assert proxy.bytes_fetched() - proxy.bytes_fetched(r"manifest\.json$") == fresh.tree_bytes()


def test_readers_during_a_publishing_see_the_whole_artifact_or_none(
    work: Work, place: S3Place, digest: str, tmp_path: Path
) -> None:
    uri = f"{place.uri}/model/{digest}"
    writer = Running(publish, work)
    seen: list[bool] = []
    while not seen or not seen[-1]:
        reader = replace(work, uri=uri, cache=tmp_path / f"reader-{len(seen)}")
        try:
            seen.append(open_artifact(reader) == digest)
            assert seen[-1]
        except InputError as error:
            assert "no finished artifact" in str(error)
            seen.append(False)
        assert len(seen) < 500
    assert writer.outcome().value == uri


def test_artifact_in_use_is_not_removed_to_make_room(published: str, work: Work, fresh: Work, tmp_path: Path) -> None:
    other_tree = write_tree(tmp_path / "other", {"other.safetensors": 6 << 20})
    other = publish(replace(work, tree=other_tree, cache=tmp_path / "elsewhere"))
    small = replace(fresh, cache_bytes=fresh.tree_bytes() + 1000)
    store = make_store(small)
    held = S3Artifact(locate(published), store.access).open()
    assert Running(open_artifact, replace(small, uri=other)).outcome().value == digest_of(other_tree)
    assert (held.path / "config.json").read_bytes() == (work.tree / "config.json").read_bytes()
    path = held.path
    del held
    store.access.client.close()
    shutil.rmtree(fresh.cache / "artifacts" / digest_of(other_tree))
    assert Running(open_artifact, replace(small, uri=other)).outcome().value == digest_of(other_tree)
    assert not path.exists()
