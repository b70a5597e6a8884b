import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storm_core.errors import InputError
from storm_core.selection.funnel import build_funnel, check_ledger, describe_drops, parse_ledger

REASONS = ("low_educational_value", "too_easy")
LEDGER = {"chat": {"read": 10, "kept": 7, "dropped": {"no_messages": 1, "duplicate": 2}}}
FATES = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["train", "validation", *REASONS])), max_size=60)


def test_funnel_lists_reasons_in_the_order_of_the_recipe():
    dropped = {("chat", "too_easy"): 2, ("chat", "low_educational_value"): 1}
    funnel = build_funnel(LEDGER, dropped, train={"chat": 3}, validation={"chat": 1}, reasons=REASONS)
    row = {
        "read": 10,
        "dropped": {"no_messages": 1, "duplicate": 2, "low_educational_value": 1, "too_easy": 2},
        "train": 3,
        "validation": 1,
    }
    assert funnel == {"sources": {"chat": row}, "total": row}
    assert list(funnel["total"]["dropped"]) == ["no_messages", "duplicate", *REASONS]
    assert describe_drops(row) == "no_messages 1, duplicate 2, low_educational_value 1, too_easy 2"


@given(fates=FATES, earlier=st.dictionaries(st.sampled_from("abc"), st.integers(0, 9)))
def test_funnel_adds_up_for_every_source_and_in_total(fates, earlier):
    ledger = {}
    for source in "abc":
        kept = sum(other == source for other, _ in fates)
        lost = {"duplicate": earlier[source]} if source in earlier else {}
        ledger[source] = {"read": kept + sum(lost.values()), "kept": kept, "dropped": lost}
    check_ledger(ledger, {source: row["kept"] for source, row in ledger.items() if row["kept"]})
    funnel = build_funnel(
        ledger,
        dropped=Counter(fate for fate in fates if fate[1] in REASONS),
        train=Counter(source for source, fate in fates if fate == "train"),
        validation=Counter(source for source, fate in fates if fate == "validation"),
        reasons=REASONS,
    )
    for row in [*funnel["sources"].values(), funnel["total"]]:
        assert row["read"] == row["train"] + row["validation"] + sum(row["dropped"].values())
    assert funnel["total"]["read"] == len(fates) + sum(earlier.values())


def test_rows_that_do_not_add_up_are_an_error():
    with pytest.raises(ValueError, match="funnel of chat does not add up: 10 rows in, 9 out"):
        build_funnel(LEDGER, {}, train={"chat": 6}, validation={}, reasons=REASONS)
    with pytest.raises(ValueError, match="no known source or reason"):
        build_funnel(LEDGER, {}, train={"chat": 7, "web": 1}, validation={}, reasons=REASONS)
    with pytest.raises(ValueError, match="no known source or reason"):
        build_funnel(LEDGER, {("chat", "boring"): 1}, train={"chat": 6}, validation={}, reasons=REASONS)


@pytest.mark.parametrize(
    ("row", "kept", "message"),
    [
        ({"read": 9, "kept": 7, "dropped": {"duplicate": 3}}, {"chat": 7}, "read 9 rows, but kept 7 and dropped 3"),
        ({"read": 10, "kept": 7, "dropped": {"duplicate": 3}}, {"chat": 6}, "kept 7 rows, but the shards hold 6"),
        ({"read": 10, "kept": 7, "dropped": {"duplicate": 3}}, {"chat": 7, "web": 1}, "the source web"),
    ],
)
def test_ledger_that_disagrees_with_itself_or_the_shards_is_refused(row, kept, message):
    with pytest.raises(InputError, match=message):
        check_ledger({"chat": row}, kept)


@pytest.mark.parametrize("text", ["{", "[]", '{"sources": 3}', '{"sources": {"chat": {"read": 1}}}'])
def test_text_that_is_no_ledger_is_refused(text):
    with pytest.raises(InputError, match=r"ledger\.json"):
        parse_ledger(text)


def test_ledger_is_read_as_written():
    assert parse_ledger(json.dumps({"sources": LEDGER})) == LEDGER
