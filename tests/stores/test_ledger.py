"""Notes and leases in both kinds of store: of several processes one is first, and one at a time holds a lease."""

import itertools
import os
import signal
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from storm_core.errors import InputError, StoreError
from storm_core.stores import leases
from storm_core.stores.leases import active, held
from storm_core.stores.ledger import Ledger
from storm_core.stores.references import open_store
from tests.stores.conftest import S3Place
from tests.stores.fault_proxy import FaultProxy

WRITERS = 12
CONTEXT = get_context("fork")


@pytest.fixture(params=["file", "s3"])
def store_uri(request: pytest.FixtureRequest, place: S3Place, tmp_path: Path) -> str:
    return place.uri if request.param == "s3" else (tmp_path / "store").as_uri()


@pytest.fixture
def ledger(store_uri: str) -> Ledger:
    return open_store(store_uri).ledger


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "_LOOK_AGAIN_SECONDS", 0.05)


def test_note_is_read_as_it_was_put_and_is_gone_when_deleted(ledger: Ledger) -> None:
    assert ledger.read("runs/one") is None
    ledger.put("runs/one", {"a": 1})
    ledger.put("runs/one", {"a": 2})
    assert ledger.read("runs/one") == {"a": 2}
    ledger.delete("runs/one")
    ledger.delete("runs/one")
    assert ledger.read("runs/one") is None


def test_second_to_put_first_learns_of_the_first(ledger: Ledger) -> None:
    assert ledger.put_first("parent", {"run": "one"}) == {"run": "one"}
    assert ledger.put_first("parent", {"run": "two"}) == {"run": "one"}
    assert ledger.read("parent") == {"run": "one"}


def test_ages_are_of_what_is_below_the_prefix_by_key(ledger: Ledger) -> None:
    for key in ("leases/a/1", "leases/b/1", "leases-of-others/1"):
        ledger.put(key, {})
    ages = ledger.ages("leases")
    assert set(ages) == {"leases/a/1", "leases/b/1"}
    assert all(-2 < age < 60 for age in ages.values())
    assert ledger.ages("nothing") == {}


@pytest.mark.parametrize("key", ["", "../out", "/etc", "a//b", "a/../b", "a\\b", "a\0b"])
def test_key_that_leads_elsewhere_is_refused(ledger: Ledger, key: str) -> None:
    with pytest.raises(InputError, match="plain relative path"):
        ledger.put_first(key, {})


def test_note_that_is_no_json_object_is_an_error_that_names_it(tmp_path: Path) -> None:
    ledger = open_store(tmp_path.as_uri()).ledger
    ledger.put("one", {})
    (tmp_path / ".ledger" / "one.json").write_text("[1]")
    with pytest.raises(InputError, match=r"one\.json holds no JSON object"):
        ledger.read("one")


def at_once(work: Callable[[str, int], Any], store_uri: str, count: int = WRITERS) -> list[Any]:
    """What `work` returns in each of several processes that begin together."""
    start, answers = CONTEXT.Barrier(count), CONTEXT.SimpleQueue()

    def run(number: int) -> None:
        start.wait()
        answers.put(work(store_uri, number))

    processes = [CONTEXT.Process(target=run, args=(number,)) for number in range(count)]
    for process in processes:
        process.start()
    found = [answers.get() for _ in processes]
    for process in processes:
        process.join()
    return found


def put_first(store_uri: str, number: int) -> int:
    return int(open_store(store_uri).ledger.put_first("parent", {"number": number})["number"])


def test_of_writers_that_begin_together_one_is_first_and_all_learn_which(store_uri: str, ledger: Ledger) -> None:
    found = at_once(put_first, store_uri)
    assert len(set(found)) == 1
    assert ledger.read("parent") == {"number": found[0]}


def hold_for_a_moment(store_uri: str, number: int) -> tuple[float, float]:
    leases._LOOK_AGAIN_SECONDS = 0.02
    with held(open_store(store_uri).ledger, "work"):
        begun = time.monotonic()
        time.sleep(0.05)
        return begun, time.monotonic()


def test_one_at_a_time_holds_a_lease(store_uri: str, ledger: Ledger) -> None:
    spans = sorted(at_once(hold_for_a_moment, store_uri))
    assert all(earlier[1] <= later[0] for earlier, later in itertools.pairwise(spans))
    assert active(ledger) == {}
    assert len(ledger.ages("leases/work")) == 1, "earlier notes were removed"


def test_who_waits_is_told_of_the_holder_once(ledger: Ledger, store_uri: str) -> None:
    told: list[Any] = []
    holder = CONTEXT.Process(target=hold_in_this_process, args=(store_uri, 0.5))
    holder.start()
    while not active(ledger):
        time.sleep(0.01)
    assert active(ledger)["work"]["task"] == "train"
    with held(ledger, "work", waits=told.append):
        assert [note["task"] for note in told] == ["train"]
    holder.join()


def hold_in_this_process(store_uri: str, seconds: float, lease_seconds: float = 30.0) -> None:
    with held(open_store(store_uri).ledger, "work", seconds=lease_seconds, about={"task": "train"}):
        time.sleep(seconds)


def kill_holder(store_uri: str, lease_seconds: float) -> None:
    holder = CONTEXT.Process(target=hold_in_this_process, args=(store_uri, 600, lease_seconds))
    holder.start()
    while not active(open_store(store_uri).ledger):
        time.sleep(0.01)
    os.kill(holder.pid or 0, signal.SIGKILL)
    holder.join()


def test_lease_of_a_process_of_this_machine_that_was_killed_is_free_at_once(store_uri: str, ledger: Ledger) -> None:
    kill_holder(store_uri, 600)
    begun = time.monotonic()
    with held(ledger, "work"):
        assert time.monotonic() - begun < 30


def test_lease_of_a_process_elsewhere_that_was_killed_lapses(
    store_uri: str, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(leases, "_process", dict)  # The fork inherits it: the holder names no machine.
        kill_holder(store_uri, 4.0)
        assert set(active(ledger)) == {"work"}
    begun = time.monotonic()
    with held(ledger, "work"):
        assert time.monotonic() - begun > 1.0


def test_held_lease_is_renewed_beyond_its_seconds(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "_process", dict)
    with held(ledger, "work", seconds=1.5):
        time.sleep(3.5)
        assert set(active(ledger)) == {"work"}
    assert active(ledger) == {}


def test_failing_body_frees_the_lease(ledger: Ledger) -> None:
    with pytest.raises(ZeroDivisionError), held(ledger, "work"):
        _ = 1 / 0
    assert active(ledger) == {}


def test_store_that_is_away_while_a_lease_is_held_is_said_once_and_stops_nothing(
    place: S3Place, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = open_store(place.uri).ledger
    real = ledger.put

    def refuse(*_: object) -> None:
        raise StoreError("the server is away")

    with held(ledger, "work", seconds=0.3):
        monkeypatch.setattr(ledger, "put", refuse)
        time.sleep(0.6)
        monkeypatch.setattr(ledger, "put", real)
    assert capsys.readouterr().err.count("the server is away") == 1
