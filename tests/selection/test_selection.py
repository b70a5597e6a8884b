import dataclasses
import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storm_core.errors import InputError
from storm_core.examples.index import ExampleIndex, make_index, read_index
from storm_core.records import Message, make_example, write_examples
from storm_core.selection.config import SelectConfig
from storm_core.selection.split import split
from storm_core.selection.thresholds import KEPT, REASONS, drop_reasons
from storm_core.selection.verdicts_by_example import read_by_example
from storm_core.verdicts.files import write_verdicts
from storm_core.verdicts.schema import NO_ANSWER, SCHEMA

FIRST, SECOND = "educational_value", "difficulty"
SOURCES = {"a": "chat", "b": "chat", "c": "tools"}
KEPT_EXAMPLES = st.dictionaries(st.text(min_size=1, max_size=8), st.sampled_from(["chat", "tools", "web"]), max_size=80)


def id_of(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def index_of(sources: dict[str, str]) -> ExampleIndex:
    names = tuple(dict.fromkeys(sources.values()))
    ids = np.array([bytes.fromhex(id_of(name)) for name in sources], dtype="S32")
    numbers = np.array([names.index(source) for source in sources.values()], dtype=np.int32)
    return make_index(ids, numbers, names)


def split_names(sources: dict[str, str], fraction: float, seed: int) -> tuple[list[str], list[str]]:
    names = list(sources)
    train, validation = split(index_of(sources), np.arange(len(names)), fraction, seed)
    return [names[place] for place in train], [names[place] for place in validation]


@pytest.fixture
def verdict(make_verdict):
    """Makes one about the example of this name; fields given by name are as given."""

    def make(name, rubric, answer, **fields):
        return replace(make_verdict(id_of(name), rubric, answer), **fields)

    return make


@pytest.fixture
def verdicts(verdict):
    return [
        verdict("a", FIRST, "4", expected_value=2.5),
        verdict("a", SECOND, "hard"),
        verdict("b", FIRST, "3", expected_value=3.5),
        verdict("b", SECOND, "easy"),
        verdict("c", FIRST, "2", expected_value=3.1),
    ]


@pytest.fixture
def judge(tmp_path):
    """Verdicts on the index of `SOURCES`, read from a file of these verdicts."""

    def read(verdicts, sources=SOURCES):
        write_verdicts(tmp_path / "verdicts.parquet", verdicts)
        return read_by_example(index_of(sources), [tmp_path / "verdicts.parquet"])

    return read


@pytest.fixture
def reasons_of(judge):
    def reasons(verdicts, sources=SOURCES, **options):
        found = drop_reasons(judge(verdicts, sources), index_of(sources), SelectConfig(**options))
        return {name: None if reason == KEPT else REASONS[reason] for name, reason in zip(sources, found, strict=True)}

    return reasons


def test_defaults_keep_value_three_and_more_that_is_not_easy(verdicts, reasons_of):
    assert reasons_of(verdicts) == {"a": None, "b": "too_easy", "c": "low_educational_value"}


def test_expected_value_may_decide_instead_of_the_label(verdicts, verdict, reasons_of):
    judged = [*verdicts, verdict("c", SECOND, "medium")]
    reasons = reasons_of(judged, educational_value_by="expected_value")
    assert reasons == {"a": "low_educational_value", "b": "too_easy", "c": None}


@pytest.mark.parametrize(
    ("difficulties", "a", "b"),
    [
        (("easy",), "too_hard", None),
        (("medium",), "too_hard", "too_easy"),
        (("easy", "medium", "hard"), None, None),
    ],
)
def test_difficulties_that_are_not_wanted_have_their_own_reason(verdicts, reasons_of, difficulties, a, b):
    assert reasons_of(verdicts, difficulties=difficulties) == {"a": a, "b": b, "c": "low_educational_value"}


def test_difficulty_between_two_that_are_wanted_is_another_one(verdict, reasons_of):
    judged = [verdict("a", FIRST, "4"), verdict("a", SECOND, "medium")]
    assert reasons_of(judged, {"a": "chat"}, difficulties=("easy", "hard")) == {"a": "other_difficulty"}


def test_difficulty_that_the_rubric_does_not_know_is_refused_with_those_it_knows(verdicts, reasons_of):
    with pytest.raises(InputError, match=r"labels of the verdicts, easy, medium, hard; got tricky$"):
        reasons_of(verdicts, difficulties=("hard", "tricky"))
    with pytest.raises(InputError, match=r"got none$"):
        reasons_of(verdicts, difficulties=())


def test_labels_count_what_the_rubric_of_the_user_says(verdict, reasons_of):
    grades = {"labels": ("poor", "good"), "values": (-1.0, 0.5), "probabilities": (0.5, 0.5)}
    levels = {"labels": ("trivial", "tough"), "values": (0.0, 1.0), "probabilities": (0.5, 0.5)}
    judged = [
        verdict("a", FIRST, "3", label="good", **grades),
        verdict("a", SECOND, "hard", label="tough", **levels),
        verdict("b", FIRST, "3", label="poor", **grades),
        verdict("c", FIRST, "3", label="good", **grades),
        verdict("c", SECOND, "hard", label="trivial", **levels),
    ]
    reasons = reasons_of(judged, min_educational_value=0.0, difficulties=("tough",))
    assert reasons == {"a": None, "b": "low_educational_value", "c": "too_easy"}


@pytest.mark.parametrize("by", ["label", "expected_value"])
def test_example_without_an_answer_is_dropped_for_that(verdict, reasons_of, by):
    judged = [
        verdict("a", FIRST, "4", label=NO_ANSWER, expected_value=0.0),
        verdict("b", FIRST, "4"),
        verdict("b", SECOND, "hard", label=NO_ANSWER, expected_value=0.0),
        verdict("c", FIRST, "4"),
        verdict("c", SECOND, "hard"),
    ]
    reasons = reasons_of(judged, educational_value_by=by, min_educational_value=-10.0)
    assert reasons == {"a": "no_answer", "b": "no_answer", "c": None}


def test_cap_keeps_the_best_of_each_source_and_breaks_ties_by_id(verdict, reasons_of):
    values = {"a": 3.0, "b": 4.0, "c": 4.0, "d": 4.5, "e": 3.0}
    sources = {"a": "chat", "b": "chat", "c": "chat", "d": "chat", "e": "tools"}
    judged = [
        each
        for name, value in values.items()
        for each in (verdict(name, FIRST, "4", expected_value=value), verdict(name, SECOND, "hard"))
    ]
    reasons = reasons_of(judged, sources, max_per_source=2)
    loser = max("b", "c", key=id_of)
    assert reasons == {**dict.fromkeys(values), "a": "over_source_cap", loser: "over_source_cap"}
    assert set(reasons_of(judged, sources).values()) == {None}


def test_cap_counts_only_what_no_threshold_drops(verdicts, verdict, reasons_of):
    judged = [*verdicts[1:], verdict("a", FIRST, "3", expected_value=1.0)]
    assert reasons_of(judged, max_per_source=1) == {"a": None, "b": "too_easy", "c": "low_educational_value"}


def test_source_with_a_cap_of_its_own_keeps_that_many(verdict, reasons_of):
    sources = {"a": "chat", "b": "chat", "c": "tools", "d": "tools", "e": "tools", "f": "web=1"}
    judged = [
        each
        for value, name in enumerate(sources)
        for each in (verdict(name, FIRST, "4", expected_value=float(value)), verdict(name, SECOND, "hard"))
    ]

    def kept(**options):
        return {name for name, reason in reasons_of(judged, sources, **options).items() if reason is None}

    assert kept(source_caps=("tools=2",)) == {"a", "b", "d", "e", "f"}
    assert kept(source_caps=("tools=2", "web=1=5"), max_per_source=1) == {"b", "d", "e", "f"}


@pytest.mark.parametrize(
    ("caps", "message"),
    [
        (("tools",), "source_caps must be NAME=EXAMPLES with one example at least, got 'tools'"),
        (("tools=",), "got 'tools='"),
        (("=5",), "got '=5'"),
        (("tools=0",), "got 'tools=0'"),
        (("tools=-1",), "got 'tools=-1'"),
        (("tools=\u0663",), "got"),
        (("tools=99999999999999999999",), "got"),
        (("tool=5",), "source_caps names 'tool', which is not among the sources: chat, tools"),
        (("tools=5", "tools=6"), "source_caps names 'tools' twice"),
    ],
)
def test_cap_that_means_nothing_is_refused(verdicts, reasons_of, caps, message):
    with pytest.raises(InputError, match=message):
        reasons_of(verdicts, source_caps=caps)


def test_lower_threshold_than_at_scoring_asks_to_score_again(verdicts, reasons_of):
    message = rf"^1 examples .* score again with a lower min_educational_value .*one is {id_of('c')}\)"
    with pytest.raises(InputError, match=message):
        reasons_of(verdicts, min_educational_value=2.0)


def test_order_of_verdicts_does_not_matter(verdicts, reasons_of):
    assert reasons_of(verdicts[::-1]) == reasons_of(verdicts)


def test_missing_foreign_and_repeated_verdicts_are_refused_by_name(verdicts, verdict, judge):
    with pytest.raises(InputError, match=rf"1 examples have no educational value verdict.*one is {id_of('c')}"):
        judge(verdicts[:-1])
    with pytest.raises(InputError, match=rf"1 verdicts are about examples that are not among .*{id_of('z')}"):
        judge([*verdicts, verdict("z", FIRST, "3")])
    with pytest.raises(InputError, match=rf"2 verdicts repeat.*one is {id_of('a')}"):
        judge([*verdicts, *verdicts[:2]])
    with pytest.raises(InputError, match=r"unknown rubric 'taste'"):
        judge([*verdicts, verdict("a", "taste", "hard")])
    with pytest.raises(InputError, match=r"the label 'superb', not one of 1, 2, 3, 4, 5"):
        judge([*verdicts[:-1], verdict("c", FIRST, "2", label="superb")])


def test_verdicts_that_repeat_in_another_file_are_refused(tmp_path, verdicts):
    for name in ("one", "two"):
        write_verdicts(tmp_path / name, verdicts)
    with pytest.raises(InputError, match=r"5 verdicts repeat"):
        read_by_example(index_of(SOURCES), [tmp_path / "one", tmp_path / "two"])


@pytest.mark.parametrize("rubric", [FIRST, SECOND])
@pytest.mark.parametrize("field", ["rubric_hash", "judge_digest"])
def test_verdicts_of_two_judges_or_wordings_are_refused(verdicts, verdict, judge, rubric, field):
    label = "3" if rubric == FIRST else "hard"
    others = [each for each in verdicts if (each.id, each.rubric) != (id_of("b"), rubric)]
    with pytest.raises(InputError, match=r"another (judge|wording of \w+) than those before"):
        judge([*others, verdict("b", rubric, label, **{field: "other"})])


def test_file_that_holds_no_verdicts_is_refused_by_name(tmp_path, verdicts):
    garbage, older, holes = (tmp_path / name for name in ("garbage", "older", "holes"))
    garbage.write_bytes(b"PAR1 not really")
    pq.write_table(pa.table({"id": ["x"]}), older)
    table = pa.Table.from_pylist([{"id": id_of("a"), "rubric": FIRST}], schema=SCHEMA)
    pq.write_table(table, holes)
    other = tmp_path / "other"
    pq.write_table(pa.Table.from_pylist([{**dataclasses.asdict(verdicts[0]), "expected_value": "high"}]), other)
    for path, message in (
        (garbage, "is not a Parquet"),
        (older, "is not .*: no column .*values; score again"),
        (holes, "has verdicts without .*label"),
        (other, "is not a Parquet file of verdicts: .*high"),
    ):
        with pytest.raises(InputError, match=f"{path.name} {message}"):
            read_by_example(index_of(SOURCES), [path])


@given(kept=KEPT_EXAMPLES, fraction=st.floats(0, 0.5), seed=st.integers(0, 3))
def test_split_puts_every_example_on_one_side_and_shares_fairly(kept, fraction, seed):
    train, validation = split_names(kept, fraction, seed)
    assert sorted([*train, *validation]) == sorted(kept)
    if fraction == 0 or len(kept) < 2:
        assert validation == []
        return
    assert 1 <= len(validation) < len(kept)
    assert len(validation) == 1 or abs(len(validation) - fraction * len(kept)) <= 0.5 + 1e-9
    for source in set(kept.values()):
        quota = fraction * sum(other == source for other in kept.values())
        assert abs(sum(kept[name] == source for name in validation) - quota) <= 1 + 1e-9


@given(kept=KEPT_EXAMPLES, seed=st.integers(0, 3))
def test_split_does_not_depend_on_the_order_given(kept, seed):
    assert split_names(kept, 0.2, seed) == split_names(dict(reversed(kept.items())), 0.2, seed)


def test_split_differs_between_seeds_and_is_the_same_everywhere():
    kept = {str(number): "chat" for number in range(100)}
    train, validation = split_names(kept, 0.05, 0)
    # Recorded once: hashes are the same on every machine.
    assert validation == ["14", "54", "49", "21", "44"]
    assert split_names(kept, 0.05, 1) != (train, validation)
    assert train != sorted(train)


def test_split_of_some_leaves_the_others_alone():
    train, validation = split(index_of({str(n): "chat" for n in range(20)}), np.arange(0, 20, 2), 0.2, 0)
    assert sorted([*train, *validation]) == list(range(0, 20, 2))


def test_what_rounding_leaves_over_goes_to_the_largest_remainders():
    kept = {
        f"{source}{number}": source for source, count in {"chat": 1, "tools": 19}.items() for number in range(count)
    }
    _, validation = split_names(kept, 0.1, 0)
    assert [kept[name] for name in validation] == ["tools", "tools"]


@given(ids=st.lists(st.binary(min_size=32, max_size=32), unique=True, max_size=30), data=st.data())
def test_every_id_is_found_where_it_stands_whatever_its_bytes(ids, data):
    known = data.draw(st.integers(0, len(ids)))
    index = make_index(np.array(ids[:known], dtype="S32"), np.zeros(known, dtype=np.int32), ("chat",))
    assert index.find(np.array(ids, dtype="S32")).tolist() == [*range(known), *[-1] * (len(ids) - known)]
    assert [index.id(place) for place in range(known)] == [id.hex() for id in ids[:known]]


def test_population_counts_its_sources_and_refuses_what_is_no_content_id(tmp_path: Path):
    turns = [Message(role="user", content="Why?"), Message(role="assistant", content="So.")]
    examples = [make_example(source, [*turns, *turns[: 2 * n]]) for n, source in enumerate(("web", "chat"))]
    write_examples(tmp_path / "one.parquet", examples)
    index = read_index([tmp_path / "one.parquet"])
    assert (index.sources, index.count()) == (("chat", "web"), {"chat": 1, "web": 1})
    assert [index.id(place) for place in range(2)] == [example.id for example in examples]
    pq.write_table(pa.table({"id": ["me"], "source": ["web"]}), tmp_path / "bad.parquet")
    with pytest.raises(InputError, match=r"bad.parquet holds IDs that are not content IDs of 64"):
        read_index([tmp_path / "bad.parquet"])
