"""Whether `storm train` starts processes itself, leaves the work to nodes, or does it; what these are told."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch.distributed.elastic.utils.api import macros

from storm_core.cluster.nodes import NODES_VARIABLE
from storm_core.cluster.one_pod import PROCESSES_VARIABLE, processes_to_start
from storm_core.errors import InputError
from storm_core.torchrun import escaped


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


@given(st.lists(st.lists(st.sampled_from(["$", "(", ")", "{", "}", "local_rank", "HOME", "a/"])).map("".join)))
def test_torchrun_and_kubernetes_hand_on_what_has_a_dollar(arguments: list[str]) -> None:
    assert macros.substitute(escaped(arguments), "3") == arguments
    assert [expanded(argument) for argument in escaped(arguments)] == arguments


def expanded(argument: str) -> str:
    """What a container is given for an argument (reference of the Kubernetes API, `args` of Container)."""
    return re.sub(r"\$(?:\$|\((\w+)\))", lambda found: "value" if found[1] else "$", argument)
