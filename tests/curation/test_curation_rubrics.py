import pytest
import yaml

from storm_core.curation.rubrics import load_framing, load_rubric, parse_rubric
from storm_core.errors import InputError

GOOD = {"name": "taste", "question": "Which?", "labels": ["a", "b"], "values": [1, 2]}


def parse(**changes):
    return parse_rubric(yaml.safe_dump({**GOOD, **changes}).encode(), "taste", "")


def test_rubrics_of_the_recipe_have_its_labels():
    value, difficulty = load_rubric("educational_value"), load_rubric("difficulty")
    assert value.labels == ("1", "2", "3", "4", "5")
    assert value.values == (1, 2, 3, 4, 5)
    assert difficulty.labels == ("easy", "medium", "hard")
    assert difficulty.value_of("hard") == 3
    assert len(value.sha256) == 64 and value.sha256 != difficulty.sha256


def test_framing_names_every_role():
    assert set(load_framing().roles) == {"system", "user", "assistant", "tool"}


def test_good_rubric_is_read():
    assert parse().labels == ("a", "b")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "smell"}, "names itself 'smell'"),
        ({"labels": ["a"]}, "two or more different labels"),
        ({"labels": ["a", "a"]}, "two or more different labels"),
        ({"labels": [1, 2]}, "each a string"),
        ({"values": [1, 2, 3]}, "2 labels but 3 values"),
        ({"threshold": 3}, "exactly the fields"),
    ],
)
def test_rubric_that_cannot_work_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        parse(**changes)
