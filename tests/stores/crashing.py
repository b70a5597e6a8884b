"""Publish and open in a process of its own, which kills itself where it is told to.

The processes are forks of one small server process that has boto3 loaded, so that each takes a tenth of a second.
"""

import os
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from storm_core.artifacts import hash_file, list_files, seal
from storm_core.errors import InputError, StoreError
from storm_core.manifest import FileEntry, Manifest, content_digest
from storm_core.stores.cache import Cache
from storm_core.stores.events import Observer, ignore
from storm_core.stores.locations import S3Location
from storm_core.stores.s3_artifact import S3Access, S3Artifact
from storm_core.stores.s3_client import make_client
from storm_core.stores.s3_store import S3Store
from storm_core.stores.uris import parse_uri

# S3 servers accept no smaller part but the last.
PART_BYTES = 5 << 20
RANGE_BYTES = 1 << 20
_SECONDS = 120


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a process publishes or opens.

    Attributes:
        store: the store's URI.
        cache: directory of the local cache.
        tree: the files to publish.
        uri: the artifact to open.
        kill_at: an event, and at which of its occurrences (from 1) to die there.
        kill_after_seconds: how long after the first event to die.
    """

    store: str
    cache: Path
    tree: Path
    uri: str = ""
    cache_bytes: int = 1 << 30
    read_timeout_seconds: float = 20.0
    kill_at: tuple[str, int] | None = None
    kill_after_seconds: float | None = None

    def tree_bytes(self) -> int:
        """Size of all files to publish."""
        return sum(path.stat().st_size for path in self.tree.rglob("*") if path.is_file())


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a process ended: its exit status (negative: the signal), what it returned, or the error's type and text.

    `seconds` is the time from the first event to the end.
    """

    status: int
    value: str = ""
    error: str = ""
    seconds: float = 0.0

    @property
    def killed(self) -> bool:
        """Whether SIGKILL ended it."""
        return self.status == -signal.SIGKILL


def make_store(work: Work, observer: Observer = ignore) -> S3Store:
    """The S3 store with small parts and ranges, so that small files have several."""
    access = S3Access(
        client=make_client(read_timeout_seconds=work.read_timeout_seconds),
        cache=Cache(work.cache, work.cache_bytes, observer),
        observe=observer,
        part_bytes=PART_BYTES,
        range_bytes=RANGE_BYTES,
    )
    return S3Store(locate(work.store), access)


def locate(uri: str) -> S3Location:
    """The place in a bucket that the URI names."""
    location = parse_uri(uri)
    assert isinstance(location, S3Location)
    return location


def publish(work: Work, observer: Observer = ignore) -> str:
    """Publish a copy of the tree as a stage would; returns the URI."""
    store = make_store(work, observer)
    try:
        directory = store.staging_directory()
        shutil.copytree(work.tree, directory, dirs_exist_ok=True)
        return store.publish(directory, seal_tree(directory)).uri
    finally:
        store.access.client.close()


def open_artifact(work: Work, observer: Observer = ignore) -> str:
    """Open `work.uri`; returns the digest of what is really in the directory, hashed again."""
    store = make_store(work, observer)
    try:
        artifact = S3Artifact(locate(work.uri), store.access).open()
        return read_digest(artifact.path, artifact.manifest)
    finally:
        store.access.client.close()


def seal_tree(directory: Path, kind: str = "model") -> Manifest:
    """The manifest, written."""
    return seal(directory, kind, producer={"verb": "train"}, inputs={}, metrics={})


def digest_of(tree: Path) -> str:
    """The digest of the artifact that the files of `tree` make; `tree` stays as it is."""
    return content_digest("model", list_files(tree))


def read_digest(directory: Path, manifest: Manifest) -> str:
    """The content digest of what the files of an open artifact hold now."""
    files = []
    for entry in manifest.files:
        path = directory / entry.path
        files.append(FileEntry(path=entry.path, size=path.stat().st_size, sha256=hash_file(path)))
    return content_digest(manifest.kind, tuple(files))


Task = Callable[[Work, Observer], str]


class Running:
    """A process at its work."""

    def __init__(self, task: Task, work: Work, start: Any = None) -> None:
        """Begin; with a barrier `start`, as soon as all the others are ready as well."""
        context = get_context("forkserver")
        context.set_forkserver_preload(["boto3", "tests.stores.crashing"])
        self._results, results = context.Pipe(duplex=False)
        environment = {name: value for name, value in os.environ.items() if name.startswith(("AWS_", "STORM_"))}
        self._process = context.Process(target=_run, args=(task, work, environment, results, start))
        self._process.start()
        results.close()

    def outcome(self) -> Outcome:
        """How it ended; waits for it."""
        try:
            result = self._results.recv() if self._results.poll(_SECONDS) else {"error": "it did not end in time"}
        except EOFError:
            result = {}
        self._process.join(5)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join()
        status = self._process.exitcode
        assert status is not None
        self._process.close()
        self._results.close()
        return Outcome(status=status, **result)


def run(task: Task, work: Work) -> Outcome:
    """Do the work in a process of its own and wait for its end."""
    return Running(task, work).outcome()


def _run(task: Task, work: Work, environment: dict[str, str], results: Connection, start: Any) -> None:
    for name in [name for name in os.environ if name.startswith(("AWS_", "STORM_"))]:
        del os.environ[name]
    os.environ.update(environment)
    times: list[float] = []
    if start is not None:
        start.wait(_SECONDS)
    try:
        value = task(work, _observer(work, times))
        results.send({"value": value, "seconds": time.monotonic() - times[0]})
    except (InputError, StoreError, OSError) as error:
        results.send({"error": f"{type(error).__name__}: {error}"})


def _observer(work: Work, times: list[float]) -> Observer:
    counts: Counter[str] = Counter()
    lock = threading.Lock()

    def observe(event: str) -> None:
        with lock:
            if not times and work.kill_after_seconds is not None:
                threading.Thread(target=_die_after, args=(work.kill_after_seconds,), daemon=True).start()
            times.append(time.monotonic())
            counts[event] += 1
            if (event, counts[event]) == work.kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    return observe


def _die_after(seconds: float) -> None:
    time.sleep(seconds)
    os.kill(os.getpid(), signal.SIGKILL)
