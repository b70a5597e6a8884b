"""The cache by itself: what stays, what goes when room is needed, and what a dead process left."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from storm_core.artifacts import seal
from storm_core.errors import InputError
from storm_core.manifest import FileEntry, Manifest, content_digest
from storm_core.stores.cache import Cache, cache_from_environment

SIZE = 1000


def manifest_of(content: bytes) -> Manifest:
    import hashlib

    files = (FileEntry(path="a.bin", size=len(content), sha256=hashlib.sha256(content).hexdigest()),)
    return Manifest(kind="model", files=files, digest=content_digest("model", files))


def content_of(letter: str) -> bytes:
    return letter.encode() * SIZE


class Fills:
    """Opens artifacts of a letter each and counts how often one had to be fetched."""

    def __init__(self, cache: Cache) -> None:
        self.cache = cache
        self.fetched: list[str] = []

    def open(self, letter: str) -> tuple[Path, object]:
        def fill(directory: Path) -> None:
            self.fetched.append(letter)
            (directory / "a.bin").write_bytes(content_of(letter))

        return self.cache.open(manifest_of(content_of(letter)), fill)


def last_used(cache: Cache, letter: str, time: float) -> None:
    lock = cache.root / "locks" / f"{manifest_of(content_of(letter)).digest}.use"
    os.utime(lock, (time, time))


def held(cache: Cache) -> set[str]:
    return {(path / "a.bin").read_text()[0] for path in (cache.root / "artifacts").iterdir()}


def test_second_open_fetches_nothing(tmp_path: Path) -> None:
    fills = Fills(Cache(tmp_path, 10 * SIZE))
    first, second = fills.open("a"), fills.open("a")
    assert first[0] == second[0]
    assert fills.fetched == ["a"]


def test_longest_unused_goes_first_when_room_is_needed(tmp_path: Path) -> None:
    cache = Cache(tmp_path, 3 * SIZE)
    fills = Fills(cache)
    for age, letter in enumerate("abc"):
        fills.open(letter)
        last_used(cache, letter, 1000.0 + age)
    fills.open("a")  # Used again: now b is the longest unused.
    fills.open("d")
    assert held(cache) == {"a", "c", "d"}


def test_what_is_in_use_stays_even_over_the_limit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cache = Cache(tmp_path, 2 * SIZE)
    fills = Fills(cache)
    locks = [fills.open(letter) for letter in "ab"]
    kept = fills.open("c")
    assert held(cache) == {"a", "b", "c"}
    assert "over its limit while what it holds is in use" in capsys.readouterr().err
    del locks, kept
    fills.open("d")
    assert len(held(cache)) == 2


def test_lease_of_another_process_counts_until_that_process_is_gone(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from storm_core.stores.cache import Cache;"
        "from tests.stores.test_cache import Fills, SIZE;"
        "held = Fills(Cache(Path(sys.argv[1]), 2 * SIZE)).open('a'); print('open', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "open\n"
        cache = Cache(tmp_path, 2 * SIZE)
        fills = Fills(cache)
        fills.open("b")
        fills.open("c")
        assert "a" in held(cache)
        process.send_signal(signal.SIGKILL)
    fills.open("d")
    fills.open("e")
    assert "a" not in held(cache)


def test_artifact_larger_than_the_cache_says_what_to_raise(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="raise STORM_CACHE_GB"):
        Fills(Cache(tmp_path, SIZE - 1)).open("a")


def test_interrupted_fetch_finds_its_files_again(tmp_path: Path) -> None:
    cache = Cache(tmp_path, 10 * SIZE)
    manifest = manifest_of(content_of("a"))

    def broken(directory: Path) -> None:
        (directory / "a.bin").write_bytes(content_of("a")[:10])
        raise ConnectionError

    with pytest.raises(ConnectionError):
        cache.open(manifest, broken)
    assert not (tmp_path / "artifacts").exists()
    found = []
    cache.open(manifest, lambda directory: found.append((directory / "a.bin").read_bytes()))
    assert found == [content_of("a")[:10]]


def test_rest_of_an_interrupted_fetch_goes_when_room_is_needed(tmp_path: Path) -> None:
    cache = Cache(tmp_path, 2 * SIZE)

    def broken(directory: Path) -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        cache.open(manifest_of(content_of("a")), broken)
    fills = Fills(cache)
    fills.open("b")
    fills.open("c")
    assert list((tmp_path / "partial").iterdir()) == []


def test_damaged_copy_is_fetched_again(tmp_path: Path) -> None:
    fills = Fills(Cache(tmp_path, 10 * SIZE))
    path, _ = fills.open("a")
    (path / "a.bin").write_bytes(content_of("b"))
    path, _ = fills.open("a")
    assert (path / "a.bin").read_bytes() == content_of("a")
    assert fills.fetched == ["a", "a"]


def test_adopted_directory_is_opened_without_fetching_and_makes_room(tmp_path: Path) -> None:
    cache = Cache(tmp_path, 2 * SIZE)
    fills = Fills(cache)
    fills.open("x")
    fills.open("y")
    staged = cache.staging_directory()
    (staged / "a.bin").write_bytes(content_of("a"))
    cache.adopt(staged, seal(staged, "model", producer={}, inputs={}, metrics={}))
    fills.open("a")
    assert fills.fetched == ["x", "y"]
    assert len(held(cache)) == 2


def test_staging_directory_of_a_dead_process_is_swept_and_that_of_a_living_one_is_not(tmp_path: Path) -> None:
    living = Cache(tmp_path, SIZE)
    kept = living.staging_directory()
    (tmp_path / "staging" / "dead").mkdir()
    (tmp_path / "staging" / "dead" / "model.safetensors").write_bytes(b"half")
    Cache(tmp_path, SIZE).staging_directory()
    assert kept.exists()
    assert not (tmp_path / "staging" / "dead").exists()


@pytest.mark.parametrize("text", ["much", "0", "-1", "nan", "inf"])
def test_size_that_is_no_size_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORM_CACHE_GB", text)
    with pytest.raises(InputError, match="STORM_CACHE_GB must be a positive number"):
        cache_from_environment()
