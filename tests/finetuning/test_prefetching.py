"""What is made ahead comes in order, never far ahead, and leaves no thread behind."""

import threading
import time
from collections.abc import Iterator

import pytest

from storm_core.errors import InputError
from storm_core.finetuning.prefetching import made_ahead


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = threading.active_count()
    yield
    assert threading.active_count() == before


def test_all_items_come_in_their_order() -> None:
    with made_ahead(lambda number: number**2, range(50)) as made:
        assert list(made) == [number**2 for number in range(50)]


def test_next_items_are_made_by_another_thread_while_one_is_used() -> None:
    threads = []
    second = threading.Event()

    def make(number: int) -> int:
        threads.append(threading.current_thread())
        if number == 1:
            second.set()
        return number

    with made_ahead(make, range(3)) as made:
        next(made)
        assert second.wait(10)
    assert threading.main_thread() not in threads


def test_no_more_than_a_few_are_made_before_they_are_taken() -> None:
    asked = []

    def numbers() -> Iterator[int]:
        for number in range(1000):
            asked.append(number)
            yield number

    with made_ahead(lambda number: number, numbers()) as made:
        for taken in made:
            assert len(asked) <= taken + 4
            if taken == 20:
                break


def test_error_is_raised_where_its_item_is_taken() -> None:
    def make(number: int) -> int:
        if number == 2:
            raise InputError("example 2 is damaged")
        return number

    with made_ahead(make, range(5)) as made:
        assert [next(made), next(made)] == [0, 1]
        with pytest.raises(InputError, match="example 2 is damaged"):
            next(made)


def test_end_of_the_process_waits_for_what_is_being_made_and_no_more() -> None:
    begun = []

    def make(number: int) -> None:
        begun.append(number)
        time.sleep(number / 2)

    with pytest.raises(SystemExit), made_ahead(make, range(100)) as made:
        next(made)
        raise SystemExit(143)
    assert begun in ([0], [0, 1])
