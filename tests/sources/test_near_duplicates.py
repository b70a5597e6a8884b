import numpy as np
import pytest
from datasketch import MinHash
from hypothesis import given, settings
from hypothesis import strategies as st

from storm_core.examples.words import WordHashes
from storm_core.records import Example, Message, make_example
from storm_core.sources.deduplication.near_duplicates import (
    MinHashSketch,
    band_keys,
    band_shape,
    enter,
    find_near_duplicates,
)
from storm_core.sources.ingest import shingles_of

PERMUTATIONS, THRESHOLD = 128, 0.8
BANDS = band_shape(PERMUTATIONS, THRESHOLD)
SKETCH = MinHashSketch(PERMUTATIONS)


def sets(seed: int, *sizes: tuple[int, int]) -> list["np.ndarray[tuple[int], np.dtype[np.uint64]]"]:
    """A base set of 200 hashes, then for each (shared, own) a set that shares so many with it and has so many more."""
    generator = np.random.default_rng(seed)
    base = generator.integers(0, 1 << 64, 200, dtype=np.uint64)
    others = [
        np.concatenate([base[:shared], generator.integers(0, 1 << 64, own, dtype=np.uint64)]) for shared, own in sizes
    ]
    return [base, *others]


def dropped(shingles: list["np.ndarray[tuple[int], np.dtype[np.uint64]]"]) -> list[tuple[int, int, float]]:
    signatures = np.stack([SKETCH.of(one) for one in shingles])
    return list(find_near_duplicates(lambda examples: signatures[examples], band_keys(signatures, *BANDS), THRESHOLD))


def test_signature_is_datasketchs_own() -> None:
    (shingles,) = sets(0)
    reference = MinHash(num_perm=PERMUTATIONS, seed=1, hashfunc=lambda value: value, scheme="affine32")
    for shingle in shingles.tolist():
        reference.update(shingle >> 32)
    assert np.array_equal(SKETCH.of(shingles), reference.hashvalues)
    assert np.array_equal(SKETCH.of(shingles[::-1]), reference.hashvalues)


@given(st.integers(0, 10_000))
@settings(max_examples=30)
def test_planted_near_duplicate_is_found_and_a_distant_text_is_not(seed: int) -> None:
    # Jaccard 190/205 = 0.93 and 140/260 = 0.54; the estimate's standard error is 0.02 and 0.04.
    found = dropped(sets(seed, (190, 5), (140, 60)))
    assert [(later, earlier) for later, earlier, _ in found] == [(1, 0)]
    assert found[0][2] == pytest.approx(190 / 205, abs=0.12)


def test_most_pairs_at_the_threshold_are_candidates() -> None:
    bands, rows = BANDS
    assert bands * rows <= PERMUTATIONS
    assert 1 - (1 - THRESHOLD**rows) ** bands > 0.95


@pytest.mark.parametrize("threshold", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("permutations", [64, 128, 256])
def test_bands_exist_for_every_allowed_threshold(threshold: float, permutations: int) -> None:
    bands, rows = band_shape(permutations, threshold)
    assert 2 <= bands * rows <= permutations


def test_chain_of_small_steps_drops_only_what_repeats_something_that_stays() -> None:
    hashes = np.random.default_rng(0).integers(0, 1 << 64, 400, dtype=np.uint64)
    chain = [hashes[start : start + 200] for start in range(0, 120, 12)]  # Neighbours share 188 of 212: 0.89.
    found = dropped(chain)
    staying = set(range(len(chain))) - {later for later, _, _ in found}
    assert found
    assert len(staying) > 1
    assert all(earlier in staying and earlier < later for later, earlier, _ in found)


def test_bucket_keeps_no_more_examples_than_later_ones_are_compared_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storm_core.sources.deduplication.near_duplicates._MOST_COMPARED", 3)
    staying: dict[int, list[int]] = {}
    for number in range(10):
        enter(staying, [0, 1 + number], number)
    assert staying == {0: [0, 1, 2], **{1 + number: [number] for number in range(10)}}


def test_nothing_to_compare_drops_nothing() -> None:
    assert dropped(sets(0)) == []


def example(*turns: tuple[str, str], tools: tuple[str, ...] = ()) -> Example:
    messages = [Message(role=role, content=content) for role, content in turns]
    return make_example("chat", messages, {"tools": list(tools)} if tools else {})


def similarity(first: Example, second: Example) -> float:
    hashes = WordHashes()
    one, other = (
        set(shingles_of(each, [hashes.split(message.content) for message in each.messages], 5).tolist())
        for each in (first, second)
    )
    return len(one & other) / len(one | other)


QUESTION, ANSWER = ("user", "What is the weather in Paris in spring?"), ("assistant", "Mild, with a little rain.")
LONG_SYSTEM = ("system", " ".join(f"instruction{number}" for number in range(500)))


def test_system_prompt_makes_examples_neither_alike_nor_different() -> None:
    assert similarity(example(LONG_SYSTEM, QUESTION, ANSWER), example(QUESTION, ANSWER)) == 1
    other = example(LONG_SYSTEM, ("user", "Name three rivers of the Balkans."), ("assistant", "Sava, Drina, Vardar."))
    assert similarity(example(LONG_SYSTEM, QUESTION, ANSWER), other) == 0


def test_same_question_with_other_tools_on_offer_is_another_task() -> None:
    one = example(QUESTION, ANSWER, tools=("get_weather",))
    assert similarity(one, example(QUESTION, ANSWER, tools=("get_weather", "get_time"))) == 0
    both = ("get_weather", "get_time")
    assert similarity(example(QUESTION, ANSWER, tools=both), example(QUESTION, ANSWER, tools=both[::-1])) == 1


def test_one_word_changed_in_a_short_task_makes_another_task() -> None:
    assert similarity(example(QUESTION, ANSWER), example(("user", QUESTION[1].replace("Paris", "Rome")), ANSWER)) < 0.5


def test_conversation_of_fewer_words_than_a_shingle_is_one_shingle() -> None:
    assert (
        similarity(example(("user", "Hi"), ("assistant", "Hello")), example(("user", "hi!"), ("assistant", "Hello.")))
        == 1
    )
    assert (
        similarity(example(("user", "Hi"), ("assistant", "Hello")), example(("user", "Hi"), ("assistant", "Yo"))) == 0
    )
