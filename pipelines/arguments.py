"""The arguments of a run: what the recipe starts from, and `<verb>_<option>` for every option of every stage."""

import dataclasses

from components.signatures import RERUN_PARAMETER, Parameter, option_parameters
from storm_core.run_arguments import argument_of, is_run_argument
from storm_core.stages import STAGES, load_stage

REFERENCES = (
    Parameter(name="base_model", annotation=str, help="the model to improve: a directory, a GGUF file, or a URI"),
    Parameter(name="sibling_model", annotation=str, help="the other parent of the merge: a directory, file or URI"),
    Parameter(name="data", annotation=str, help="directory of the sources and of the evaluation data, or its URI"),
    Parameter(
        name="score_rubrics", annotation=str, default="", help="directory of your own rubrics, or its URI (optional)"
    ),
    Parameter(
        name="train_held_out",
        annotation=str,
        default="",
        help="directory of .txt files not trained on, whose loss tells what is forgotten, or its URI (optional)",
    ),
)


def option_arguments(verb: str) -> dict[str, Parameter]:
    """The options that a run gives to a stage, each with the run's argument for it."""
    options = option_parameters(load_stage(verb).config)
    return {
        option.name: dataclasses.replace(option, name=argument_of(verb, option.name))
        for option in options
        if is_run_argument(verb, option.name)
    }


def run_arguments() -> dict[str, Parameter]:
    """Every argument of a run, by name."""
    found = {argument.name: argument for argument in (*REFERENCES, RERUN_PARAMETER)}
    for verb in STAGES:
        for option in option_arguments(verb).values():
            # Where stages share an argument, it is described by its owner, who comes first.
            found.setdefault(option.name, option)
    return found
