"""Which argument of a run gives a stage its option: `<verb>_<option>`, but for what two stages share."""

import dataclasses

from storm_core.chat_templates.date import OPTION as TEMPLATE_DATE
from storm_core.judging.engines.config import JudgeConfig

_JUDGE_OPTIONS = {field.name for field in dataclasses.fields(JudgeConfig)}
# What the graph itself decides.
_SET_BY_GRAPH = {("score", "shard")}


def argument_of(verb: str, option: str) -> str:
    """The name of the run argument that gives the stage its option."""
    # A run has one date, whoever renders conversations in it.
    if option == TEMPLATE_DATE:
        return option
    # The audit asks the judge as `score` did.
    owner = "score" if verb == "audit" and option in _JUDGE_OPTIONS else verb
    return f"{owner}_{option}"


def is_run_argument(verb: str, option: str) -> bool:
    """Whether a run gives the stage this option."""
    return (verb, option) not in _SET_BY_GRAPH
