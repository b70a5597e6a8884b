"""The stages of the recipe by verb, and how the command line calls what they read and write."""

import dataclasses
import importlib

from storm_core.stage import Stage

# Verb to the declaration of its stage, in the order of the recipe.
STAGES = {
    "fetch": "storm_core.checkpoints.config:FETCH",
    "prepare": "storm_core.sources.config:PREPARE",
    "score": "storm_core.judging.config:SCORE",
    "select": "storm_core.selection.config:SELECT",
    "audit": "storm_core.judge_audit.config:AUDIT",
    "scan": "storm_core.spectrum.config:SCAN",
    "train": "storm_core.finetuning.config:TRAIN",
    "merge": "storm_core.merging.config:MERGE",
    "quantize": "storm_core.quantization.config:QUANTIZE",
    "evaluate": "storm_core.evaluation.config:EVALUATE",
    "gate": "storm_core.promotion.config:GATE",
    "register": "storm_core.registry.config:REGISTER",
    "report": "storm_core.reporting.config:REPORT",
}

# What KFP passes to a stage besides: its ExecutorInput.
EXECUTOR_INPUT = "--executor-input"
# Where a stage writes its page.
PAGE = "--page"
# The parameter of every component, not of the stage, by which the ExecutorInput holds the run's name.
RUN_NAME = "run_name"
# The verbs and tasks that are to compute afresh; one that is not among them takes what the store has.
RERUN = "rerun"


def load_stage(verb: str) -> Stage:
    """The declaration of the stage `verb`; imports its config module and nothing heavier."""
    module, _, name = STAGES[verb].partition(":")
    stage: Stage = getattr(importlib.import_module(module), name)
    return stage


def flag(name: str) -> str:
    """The command-line flag of the option, input, output or value `name`."""
    return "--" + name.replace("_", "-")


def flags_of(stage: Stage) -> set[str]:
    """Every flag that `storm <verb>` accepts for `stage`."""
    options = [field.name for field in dataclasses.fields(stage.config)]
    names = [*stage.inputs, *options, *stage.outputs, *stage.values]
    return {EXECUTOR_INPUT, PAGE, *(flag(name) for name in [RERUN, *names])}
