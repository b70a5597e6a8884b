"""Who follows a training, by leases in the store; and a training that ends when nobody does."""

import signal
import time
from pathlib import Path

import pytest

from storm_core.cluster.followers import (
    KEY_VARIABLE,
    UNFOLLOWED_VARIABLE,
    ends_unfollowed,
    following,
    forget,
    is_unfollowed,
    unfollowed_seconds,
    while_followed,
)
from storm_core.errors import InputError
from storm_core.stores.references import open_store
from storm_core.stores.store import Store

KEY = "ab" * 32


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(f"file://{tmp_path}/store")


def test_training_is_followed_as_long_as_one_of_two_followers_is_there(store: Store) -> None:
    with following(store.ledger, KEY, 0.9):
        with following(store.ledger, KEY, 0.9):
            pass
        time.sleep(1.2)
        assert not is_unfollowed(store.ledger, KEY, 0.9, since=time.monotonic())
    time.sleep(1.2)
    assert is_unfollowed(store.ledger, KEY, 0.9, since=time.monotonic())


def test_training_without_a_known_follower_counts_from_its_start(store: Store) -> None:
    assert unfollowed_seconds(store.ledger, KEY) is None
    now = time.monotonic()
    assert not is_unfollowed(store.ledger, KEY, 60, since=now)
    assert is_unfollowed(store.ledger, KEY, 60, since=now - 61)


def test_training_that_is_over_leaves_no_leases(store: Store) -> None:
    with following(store.ledger, KEY, 60), following(store.ledger, "cd" * 32, 60):
        pass
    forget(store.ledger, KEY)
    assert unfollowed_seconds(store.ledger, KEY) is None
    assert unfollowed_seconds(store.ledger, "cd" * 32) is not None


def test_unfollowed_training_is_told_to_stop_and_a_followed_one_is_not(store: Store) -> None:
    told: list[int] = []
    earlier = signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    try:
        with following(store.ledger, KEY, 0.5), ends_unfollowed(store.ledger, KEY, 0.5):
            time.sleep(1.0)
        assert not told
        with ends_unfollowed(store.ledger, KEY, 0.5):
            time.sleep(1.5)
        assert told == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, earlier)


def test_node_whose_run_is_another_than_its_component_s_says_so_before_it_trains(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "cd" * 32)
    monkeypatch.setenv(UNFOLLOWED_VARIABLE, "60")
    with pytest.raises(InputError, match="give both the same image"), while_followed(store, KEY):
        pass
    # Of the processes of a training the first one alone looks.
    monkeypatch.setenv("RANK", "1")
    with while_followed(store, KEY):
        pass
