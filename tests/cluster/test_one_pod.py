"""Whether `storm train` starts processes itself, leaves the work to nodes, or does it."""

import pytest

from storm_core.cluster.nodes import NODES_VARIABLE
from storm_core.cluster.one_pod import PROCESSES_VARIABLE, processes_to_start
from storm_core.errors import InputError


@pytest.mark.parametrize(
    ("verb", "environment", "count"),
    [
        ("train", {PROCESSES_VARIABLE: "8"}, 8),
        ("train", {}, 0),
        ("train", {PROCESSES_VARIABLE: "1"}, 0),
        ("train", {PROCESSES_VARIABLE: "8", "RANK": "3"}, 0),
        ("train", {PROCESSES_VARIABLE: "8", NODES_VARIABLE: '{"count": 2}'}, 0),
        ("merge", {PROCESSES_VARIABLE: "8"}, 0),
    ],
)
def test_processes_are_started_once_and_only_here(verb: str, environment: dict[str, str], count: int) -> None:
    assert processes_to_start(verb, environment) == count


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5", "²"])
def test_what_is_no_number_of_processes_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="STORM_PROCESSES must be a whole number above 0"):
        processes_to_start("train", {PROCESSES_VARIABLE: text})
