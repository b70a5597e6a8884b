import hashlib
import subprocess
import sys
import time

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from storm_core.examples.words import WordHashes, Words, ngram_hashes, ngram_hashes_by_length, words_of
from storm_core.sources.decontamination.overlap import SHORTEST_ITEM_WORDS, EvaluationNgrams, Match

LENGTH = 13
vocabulary = st.sampled_from([f"word{number}" for number in range(400)])


def words(text: str) -> Words:
    return WordHashes().split(text)


def find(items: list[str], *texts: str, length: int = LENGTH) -> list[Match]:
    index = EvaluationNgrams(length)
    for number, item in enumerate(items, start=1):
        index.add("trivia", f"trivia.yml:{number}", [words(item)])
    return index.find([words(text) for text in texts])


def numbered(start: int, count: int) -> str:
    return " ".join(f"n{number}" for number in range(start, start + count))


def test_words_have_no_case_no_punctuation_and_one_composition() -> None:
    assert words_of('The "Cafe\u0301", RE-opened!') == words_of("the café re opened")
    assert words_of("Straße") == words_of("STRASSE")


def test_scripts_without_spaces_count_by_character() -> None:
    assert words_of("東京の天気 today") == ["東", "京", "の", "天", "気", "today"]


@given(st.lists(vocabulary, max_size=40), st.integers(1, 15))
def test_ngrams_are_equal_where_their_words_are(listed: list[str], length: int) -> None:
    hashes = ngram_hashes(words(" ".join(listed)).hashes, length).tolist()
    ngrams = [tuple(listed[start : start + length]) for start in range(len(listed) - length + 1)]
    assert len(hashes) == len(ngrams)
    assert len(set(hashes)) == len(set(ngrams))
    assert len(set(zip(hashes, ngrams, strict=True))) == len(set(ngrams))


@given(st.lists(vocabulary, max_size=40), st.sets(st.integers(1, 15)))
def test_ngrams_of_several_lengths_equal_those_of_each(listed: list[str], lengths: set[int]) -> None:
    hashes_W = words(" ".join(listed)).hashes
    found = dict(ngram_hashes_by_length(hashes_W, lengths))
    assert sorted(found) == sorted(lengths)
    for length, hashes in found.items():
        assert np.array_equal(hashes, ngram_hashes(hashes_W, length))


def test_hashes_do_not_depend_on_the_seed_of_the_interpreter() -> None:
    script = (
        "from storm_core.examples.words import WordHashes; print(WordHashes().split('Who goes there?').hashes.tolist())"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", script], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(runs) == 1
    first = int.from_bytes(hashlib.blake2b(b"who", digest_size=8).digest(), "little")
    assert WordHashes().split("who").hashes.tolist() == [first]


@given(st.data())
def test_planted_ngram_is_found_and_named(data: st.DataObject) -> None:
    items = [" ".join(data.draw(st.lists(vocabulary, min_size=LENGTH, max_size=30))) for _ in range(3)]
    number = data.draw(st.integers(0, 2))
    start = data.draw(st.integers(0, len(items[number].split()) - LENGTH))
    planted = items[number].split()[start : start + LENGTH]
    before, after = numbered(0, data.draw(st.integers(0, 20))), numbered(50, data.draw(st.integers(0, 20)))
    (match,) = find(items, f"{before} {' '.join(planted).upper()}, {after}")
    assert match.evaluation == "trivia"
    assert match.text == " ".join(planted)
    item = items[int(match.place.partition(":")[2]) - 1]
    assert match.text in item


@given(st.data())
def test_fewer_words_in_common_are_no_match(data: st.DataObject) -> None:
    item = numbered(100, 30)
    start = data.draw(st.integers(0, 30 - LENGTH))
    shared = item.split()[start : start + LENGTH - 1]
    assert find([item], f"{numbered(0, 20)} {' '.join(shared)} {numbered(200, 20)}") == []


def test_short_item_counts_as_a_whole_and_a_shorter_one_not_at_all() -> None:
    assert find([numbered(0, SHORTEST_ITEM_WORDS)], f"so: {numbered(0, SHORTEST_ITEM_WORDS)}?")
    assert not find([numbered(0, SHORTEST_ITEM_WORDS + 1)], f"so: {numbered(0, SHORTEST_ITEM_WORDS)}?")
    assert not find([numbered(0, SHORTEST_ITEM_WORDS - 1)], numbered(0, SHORTEST_ITEM_WORDS - 1))


def test_each_evaluation_is_named_once_with_its_first_item() -> None:
    index = EvaluationNgrams(LENGTH)
    for evaluation, place in (("b", "b:1"), ("b", "b:2"), ("a", "a:1")):
        index.add(evaluation, place, [words(numbered(0, 20))])
    expected = [("a", "a:1"), ("b", "b:1")]
    assert [(match.evaluation, match.place) for match in index.find([words(numbered(0, 20))])] == expected
    assert index.find([words(numbered(2, 13))])[0].text == numbered(2, 13)


def test_text_full_of_what_all_items_share_takes_no_longer_for_it() -> None:
    index = EvaluationNgrams(LENGTH)
    preamble = numbered(0, 100)
    for number in range(500):
        index.add("trivia", f"trivia.yml:{number}", [words(f"{preamble} own{number}")])
    started = time.monotonic()
    (match,) = index.find([words(f"{preamble} " * 100)])
    assert (match.place, match.text) == ("trivia.yml:0", numbered(0, LENGTH))
    # Once for each run in the text and each item that has it, it would take a minute.
    assert time.monotonic() - started < 5


def test_first_place_of_the_longest_run_is_named_though_a_later_item_is_found_first() -> None:
    index = EvaluationNgrams(LENGTH)
    index.add("trivia", "trivia.yml:1", [words(numbered(0, 9))])
    index.find([words("nothing")])
    index.add("trivia", "trivia.yml:2", [words(numbered(20, 30))])
    index.add("trivia", "trivia.yml:3", [words(numbered(20, 30))])
    (match,) = index.find([words(f"{numbered(0, 9)} {numbered(25, 20)}")])
    assert match == Match(evaluation="trivia", place="trivia.yml:2", text=numbered(25, LENGTH))


def test_run_that_goes_on_in_the_next_turn_is_found() -> None:
    assert find([numbered(0, 20)], numbered(0, 7), numbered(7, 6))


def test_without_evaluations_nothing_matches() -> None:
    assert EvaluationNgrams(LENGTH).find([words(numbered(0, 50))]) == []
