"""The arguments of a run: what the recipe starts from, and `<verb>_<option>` for every option of every stage."""

import dataclasses

from components.signatures import RERUN_PARAMETER, Parameter, option_parameters
from storm_core.judging.engines.config import JudgeConfig
from storm_core.stages import STAGES, load_stage

REFERENCES = (
    Parameter(name="base_model", annotation=str, help="the model to improve: a directory, a GGUF file, or a URI"),
    Parameter(name="sibling_model", annotation=str, help="the other parent of the merge: a directory, file or URI"),
    Parameter(name="data", annotation=str, help="directory of the sources and of the evaluation data, or its URI"),
    Parameter(
        name="score_rubrics", annotation=str, default="", help="directory of your own rubrics, or its URI (optional)"
    ),
)
# What the graph itself decides.
SET_BY_GRAPH = {("score", "shard")}
_JUDGE_OPTIONS = {field.name for field in dataclasses.fields(JudgeConfig)}


def argument_of(verb: str, option: str) -> str:
    """The name of the run argument that gives the stage its option."""
    # The audit asks the judge as `score` did.
    owner = "score" if verb == "audit" and option in _JUDGE_OPTIONS else verb
    return f"{owner}_{option}"


def option_arguments(verb: str) -> dict[str, Parameter]:
    """The options that a run gives to a stage, each with the run's argument for it."""
    options = option_parameters(load_stage(verb).config)
    return {
        option.name: dataclasses.replace(option, name=argument_of(verb, option.name))
        for option in options
        if (verb, option.name) not in SET_BY_GRAPH
    }


def run_arguments() -> dict[str, Parameter]:
    """Every argument of a run, by name."""
    found = {argument.name: argument for argument in (*REFERENCES, RERUN_PARAMETER)}
    for verb in STAGES:
        for option in option_arguments(verb).values():
            # Where stages share an argument, it is described by its owner, who comes first.
            found.setdefault(option.name, option)
    return found
