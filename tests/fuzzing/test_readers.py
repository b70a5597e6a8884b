"""The harness itself: what it takes for a find, and that a seed gives the same input again."""

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from storm_core.errors import InputError
from tests.fuzzing import limits
from tests.fuzzing.mutations import mutate_bytes, mutate_json
from tests.fuzzing.readers import Reader, fuzz, mutated
from tests.fuzzing.yaml_mutations import mutate_yaml

VALID = b'{"name": "it", "sizes": [1, 2, 3], "nested": {"deep": true}}'


def reader(read: Callable[[bytes, Path], object], **changes: Any) -> Reader[bytes]:
    settings: dict[str, Any] = {"valid": lambda _: [VALID], "mutate": mutate_json, "inputs": 40, "takes_some": False}
    return Reader(name="it", read=read, **{**settings, **changes})


def is_whole(content: bytes) -> None:
    if content != VALID:
        raise InputError("it was changed")


@pytest.mark.parametrize("mutate", [mutate_bytes, mutate_json, mutate_yaml])
def test_a_seed_gives_the_same_input_again_and_most_are_changed(mutate: Callable[[bytes, Random], bytes]) -> None:
    one = reader(lambda *_: None, mutate=mutate)
    inputs = [mutated(one, [VALID], seed) for seed in range(60)]
    assert inputs == [mutated(one, [VALID], seed) for seed in range(60)]
    assert len(set(inputs)) > 40


def test_what_is_refused_in_a_line_or_taken_is_no_find(tmp_path: Path) -> None:
    fuzz(reader(lambda content, _: is_whole(content)), 1, tmp_path)


def raises_another_error(content: bytes, place: Path) -> None:
    if content != VALID:
        raise KeyError("sizes")


def says_two_lines(content: bytes, place: Path) -> None:
    if content != VALID:
        error = InputError("it")
        error.args = ("it\nwas changed",)
        raise error


def does_not_end(content: bytes, place: Path) -> None:
    while content != VALID:
        pass


def fills_memory(content: bytes, place: Path) -> None:
    if content != VALID:
        bytearray(8 << 30)


@pytest.mark.parametrize("read", [raises_another_error, says_two_lines, does_not_end, fills_memory])
def test_find_is_told_with_its_seed_and_found_by_it_again(
    read: Callable[[bytes, Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SECONDS", 0.1)
    one = reader(read, inputs=3)
    with pytest.raises(pytest.fail.Exception, match=r"STORM_FUZZ_SEED=0 pytest -k 'it and few' tests/fuzzing"):
        fuzz(one, 1, tmp_path)
    monkeypatch.setenv("STORM_FUZZ_SEED", "2")
    with pytest.raises(pytest.fail.Exception, match=r"1 times\. Alone: STORM_FUZZ_SEED=2"):
        fuzz(one, 1, tmp_path)


def test_reader_that_refuses_everything_fails(tmp_path: Path) -> None:
    def refuse(content: bytes, place: Path) -> None:
        is_whole(content)

    one = reader(refuse, takes_some=True, mutate=lambda content, chance: content + b" ")
    with pytest.raises(AssertionError, match="'refused': 40"):
        fuzz(one, 1, tmp_path)
