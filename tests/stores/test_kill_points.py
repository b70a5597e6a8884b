"""A process killed anywhere in publishing or opening: a reader sees all of the artifact or none, a retry succeeds."""

import os
import random
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from storm_core.errors import InputError
from storm_core.stores.events import OPEN_EVENTS, PUBLISH_EVENTS
from tests.stores.conftest import S3Place
from tests.stores.crashing import Work, digest_of, open_artifact, publish, run
from tests.stores.fault_proxy import FaultProxy, Passed

# Besides the first occurrence of every event: the last ones of those that come many times.
PUBLISH_POINTS = [*((event, 1) for event in PUBLISH_EVENTS), ("publish.part_sent", 4), ("publish.file_sent", 4)]
OPEN_POINTS = [*((event, 1) for event in OPEN_EVENTS), ("open.range_written", 12), ("open.file_done", 4)]
ROUNDS = 25
SEED_VARIABLE = "STORM_TEST_SEED"


@pytest.mark.parametrize(("event", "occurrence"), PUBLISH_POINTS)
def test_publish_killed_at(
    event: str, occurrence: int, work: Work, fresh: Work, place: S3Place, proxy: FaultProxy, digest: str
) -> None:
    assert run(publish, replace(work, kill_at=(event, occurrence))).killed
    proxy.wait_until_left_alone()
    proxy.forget()
    is_finished = event in ("publish.manifest_sent", "publish.before_adopt")
    assert seen_by_a_reader(replace(fresh, uri=f"{place.uri}/model/{digest}"), digest) == is_finished
    retried = run(publish, work)
    assert retried.value == f"{place.uri}/model/{digest}", retried
    assert_published_well(place, work, digest)
    assert seen_by_a_reader(replace(fresh, uri=retried.value), digest)


@pytest.mark.parametrize("event", ["publish.part_sent", "publish.before_complete", "publish.before_manifest"])
def test_publish_after_a_kill_sends_only_what_is_missing(event: str, work: Work, proxy: FaultProxy) -> None:
    occurrence = 2 if event == "publish.part_sent" else 1
    sent_in_total = work.tree_bytes()
    assert run(publish, replace(work, kill_at=(event, occurrence))).killed
    proxy.wait_until_left_alone()
    before = accepted(proxy)
    assert before
    proxy.forget()
    assert run(publish, work).status == 0
    after = accepted(proxy)
    again = set(before) & set(after)
    assert not again
    manifest = sum(size for name, size in after.items() if name.endswith("manifest.json"))
    assert sum(before.values()) + sum(after.values()) - manifest == sent_in_total


@pytest.mark.parametrize(("event", "occurrence"), OPEN_POINTS)
def test_open_killed_at(
    event: str, occurrence: int, published: str, fresh: Work, proxy: FaultProxy, digest: str
) -> None:
    work = replace(fresh, uri=published)
    assert run(open_artifact, replace(work, kill_at=(event, occurrence))).killed
    proxy.wait_until_left_alone()
    proxy.forget()
    assert (fresh.cache / "artifacts" / digest).exists() == (event == "open.renamed")
    fetched_before = content_on_disk(fresh.cache)
    assert run(open_artifact, work).value == digest
    assert proxy.bytes_fetched(r"(safetensors|json|space\.txt|empty)$") - proxy.bytes_fetched("manifest.json$") == (
        work.tree_bytes() - fetched_before
    )
    assert not list((fresh.cache / "partial").glob("*"))


@pytest.mark.nightly
def test_kills_at_random_times(work: Work, small_tree: Path, place: S3Place, tmp_path: Path) -> None:
    seed = int(os.environ.get(SEED_VARIABLE) or time.time_ns() % 1_000_000)
    sys.stdout.write(f"{SEED_VARIABLE}={seed}\n")
    generator = random.Random(seed)  # noqa: S311 (not for secrets)
    killed: Counter[str] = Counter()
    digest = digest_of(small_tree)
    trial = replace(work, tree=small_tree, store=f"{place.uri}/trial", uri=f"{place.uri}/trial/model/{digest}")
    publish_seconds = run(publish, trial).seconds
    open_seconds = run(open_artifact, replace(trial, cache=tmp_path / "trial")).seconds
    for number in range(ROUNDS):
        writer = replace(work, tree=small_tree, store=f"{place.uri}/{number}", cache=tmp_path / f"writer-{number}")
        reader = replace(writer, cache=tmp_path / f"reader-{number}", uri=f"{writer.store}/model/{digest}")
        killed["publish"] += run(
            publish, replace(writer, kill_after_seconds=generator.uniform(0, publish_seconds))
        ).killed
        seen_by_a_reader(replace(reader, cache=tmp_path / f"early-reader-{number}"), digest)
        assert run(publish, writer).value == reader.uri, f"round {number}"
        killed["open"] += run(
            open_artifact, replace(reader, kill_after_seconds=generator.uniform(0, open_seconds))
        ).killed
        assert run(open_artifact, reader).value == digest, f"round {number}"
    sys.stdout.write(f"killed before their end: {dict(killed)}\n")
    assert min(killed.values()) > ROUNDS // 5


def seen_by_a_reader(reader: Work, digest: str) -> bool:
    """Whether a reader sees the artifact; what it sees is whole, and what it does not see is reported as unfinished."""
    try:
        assert open_artifact(reader) == digest
    except InputError as error:
        assert "no finished artifact" in str(error)
        return False
    return True


def assert_published_well(place: S3Place, work: Work, digest: str) -> None:
    """In the bucket lie the files of the tree and the manifest, and nothing besides; no staging directory is left."""
    root = f"{place.prefix}/model/{digest}"
    names = [path.relative_to(work.tree).as_posix() for path in work.tree.rglob("*") if path.is_file()]
    assert place.list_keys() == sorted(f"{root}/{name}" for name in [*names, "manifest.json"])
    assert place.list_uploads() == []
    assert not list((work.cache / "staging").iterdir())


def accepted(proxy: FaultProxy) -> dict[str, int]:
    """Name and part number of every content that the server accepted, with its size in bytes."""

    def name(passed: Passed) -> str:
        path, _, query = passed.request.path.partition("?")
        return path + "".join(part for part in query.split("&") if part.startswith("partNumber"))

    return {name(passed): len(passed.request.body) for passed in proxy.requests("PUT") if passed.status == 200}


def content_on_disk(cache: Path) -> int:
    """Bytes of content that lie in the cache, whole or partial."""
    files = [path for kind in ("partial", "artifacts") for path in (cache / kind).rglob("*") if path.is_file()]
    return sum(path.stat().st_size for path in files if "manifest.json" not in path.name)
