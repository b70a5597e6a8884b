import pytest
from hypothesis import given
from hypothesis import strategies as st

from storm_core.curation.config import SelectConfig
from storm_core.curation.selection import drop_reasons, gather, possible_reasons, split
from storm_core.errors import InputError

FIRST, SECOND = "educational_value", "difficulty"
SOURCES = {"a": "chat", "b": "chat", "c": "tools"}
KEPT = st.dictionaries(st.text(min_size=1, max_size=8), st.sampled_from(["chat", "tools", "web"]), max_size=80)


@pytest.fixture
def verdicts(make_verdict):
    return [
        make_verdict("a", FIRST, "4", expected_value=2.5),
        make_verdict("a", SECOND, "hard"),
        make_verdict("b", FIRST, "3", expected_value=3.5),
        make_verdict("b", SECOND, "easy"),
        make_verdict("c", FIRST, "2", expected_value=3.1),
    ]


def reasons_of(verdicts, **options):
    return drop_reasons(gather(SOURCES, verdicts), SelectConfig(**options))


def test_defaults_keep_value_three_and_more_that_is_not_easy(verdicts):
    assert reasons_of(verdicts) == {"a": None, "b": "too_easy", "c": "low_educational_value"}


def test_expected_value_may_decide_instead_of_the_label(verdicts, make_verdict):
    judged = [*verdicts, make_verdict("c", SECOND, "medium")]
    reasons = reasons_of(judged, educational_value_by="expected_value")
    assert reasons == {"a": "low_educational_value", "b": "too_easy", "c": None}


def test_difficulties_that_are_not_wanted_have_their_own_reason(verdicts):
    assert reasons_of(verdicts, difficulties=("easy",)) == {
        "a": "other_difficulty",
        "b": None,
        "c": "low_educational_value",
    }
    assert "other_difficulty" in possible_reasons(SelectConfig(difficulties=("easy",)))
    assert possible_reasons(SelectConfig()) == ("low_educational_value", "too_easy")


def test_lower_threshold_than_at_scoring_asks_to_score_again(verdicts):
    with pytest.raises(InputError, match=r"^1 examples .* score again with a lower min_educational_value .*one is c\)"):
        reasons_of(verdicts, min_educational_value=2.0)


def test_order_of_verdicts_does_not_matter(verdicts):
    assert reasons_of(verdicts[::-1]) == reasons_of(verdicts)


def test_missing_foreign_and_repeated_verdicts_are_refused_by_name(verdicts, make_verdict):
    with pytest.raises(InputError, match=r"1 examples have no educational value verdict.*one is c"):
        gather(SOURCES, verdicts[:-1])
    with pytest.raises(InputError, match=r"1 verdicts are about examples that are not among these.*one is z"):
        gather(SOURCES, [*verdicts, make_verdict("z", FIRST, "3")])
    with pytest.raises(InputError, match=r"2 verdicts repeat.*one is a"):
        gather(SOURCES, [*verdicts, *verdicts[:2]])
    with pytest.raises(InputError, match=r"unknown rubric 'taste'"):
        gather(SOURCES, [*verdicts, make_verdict("a", "taste", "hard")])


@pytest.mark.parametrize("rubric", [FIRST, SECOND])
@pytest.mark.parametrize("field", ["rubric_hash", "judge_digest"])
def test_verdicts_of_two_judges_or_wordings_are_refused(verdicts, make_verdict, rubric, field):
    label = "3" if rubric == FIRST else "hard"
    others = [verdict for verdict in verdicts if (verdict.id, verdict.rubric) != ("b", rubric)]
    with pytest.raises(InputError, match=r"2 different (judges|wordings)"):
        gather(SOURCES, [*others, make_verdict("b", rubric, label, **{field: "other"})])


@given(kept=KEPT, fraction=st.floats(0, 0.5), seed=st.integers(0, 3))
def test_split_puts_every_example_on_one_side_and_shares_fairly(kept, fraction, seed):
    train, validation = split(kept, fraction, seed)
    assert sorted([*train, *validation]) == sorted(kept)
    if fraction == 0 or len(kept) < 2:
        assert validation == []
        return
    assert 1 <= len(validation) < len(kept)
    assert len(validation) == 1 or abs(len(validation) - fraction * len(kept)) <= 0.5 + 1e-9
    for source in set(kept.values()):
        quota = fraction * sum(other == source for other in kept.values())
        assert abs(sum(kept[id] == source for id in validation) - quota) <= 1 + 1e-9


@given(kept=KEPT, seed=st.integers(0, 3))
def test_split_does_not_depend_on_the_order_given(kept, seed):
    assert split(kept, 0.2, seed) == split(dict(reversed(kept.items())), 0.2, seed)


def test_split_differs_between_seeds_and_is_the_same_everywhere():
    kept = {str(number): "chat" for number in range(100)}
    train, validation = split(kept, 0.05, 0)
    # Recorded once: hashes are the same on every machine.
    assert validation == ["82", "36", "55", "5", "10"]
    assert split(kept, 0.05, 1) != (train, validation)
    assert train != sorted(train)


def test_what_rounding_leaves_over_goes_to_the_largest_remainders():
    kept = {
        f"{source}{number}": source for source, count in {"chat": 1, "tools": 19}.items() for number in range(count)
    }
    _, validation = split(kept, 0.1, 0)
    assert [kept[id] for id in validation] == ["tools", "tools"]
