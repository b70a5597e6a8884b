"""A recipe: a flat YAML file of run arguments, checked against every stage's config before anything runs."""

import dataclasses
import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_type_hints

import yaml

from storm_core.cli import STAGES, load_stage
from storm_core.config import StageConfig
from storm_core.curation.config import JudgeConfig
from storm_core.errors import InputError

# What the graph takes besides the stages' options: references to what it starts from.
REFERENCES = ("base_model", "sibling_model", "data")
OPTIONAL_REFERENCES = ("score_rubrics",)
# Options that the graph sets itself; the audit asks the judge as `score` did.
WIRED = ("score_shard", *(f"audit_{field.name}" for field in dataclasses.fields(JudgeConfig)))


def load_recipe(path: Path) -> dict[str, Any]:
    """The run arguments in the YAML file at `path`, with lists as lists.

    Raises:
        InputError: the file cannot be read, or an argument is unknown, missing, of the wrong type or out of range.
    """
    try:
        recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read the recipe {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(recipe, dict):
        raise InputError(f"{path} must hold run arguments, one `name: value` a line")
    _check_names(path, recipe)
    for name in (*REFERENCES, *(name for name in OPTIONAL_REFERENCES if name in recipe)):
        if not isinstance(recipe[name], str):
            raise InputError(f"{path}: {name} must be a string, got {recipe[name]!r}")
    for verb in STAGES:
        _check_options(path, recipe, verb, load_stage(verb).config)
    return recipe


def argument_names() -> dict[str, bool]:
    """Every run argument, and whether it must be given: the references, then `<verb>_<option>` for each stage."""
    names = {**dict.fromkeys(REFERENCES, True), **dict.fromkeys(OPTIONAL_REFERENCES, False)}
    for verb in STAGES:
        for field in dataclasses.fields(load_stage(verb).config):
            names[f"{verb}_{field.name}"] = field.default is dataclasses.MISSING
    return {name: required for name, required in names.items() if name not in WIRED}


def _check_names(path: Path, recipe: Mapping[str, Any]) -> None:
    known = argument_names()
    for name in recipe:
        if name not in known:
            close = difflib.get_close_matches(str(name), known, n=1)
            hint = f"did you mean {close[0]}?" if close else "see recipes/smoke.yaml for the arguments there are"
            raise InputError(f"{path}: unknown argument {name!r}; {hint}")
    missing = [name for name, required in known.items() if required and name not in recipe]
    if missing:
        raise InputError(f"{path}: {', '.join(missing)} must be given")


def _check_options(path: Path, recipe: Mapping[str, Any], verb: str, config: type[StageConfig]) -> None:
    types = get_type_hints(config)
    options = {}
    for field in dataclasses.fields(config):
        if f"{verb}_{field.name}" in recipe:
            value = recipe[f"{verb}_{field.name}"]
            is_list = types[field.name] == tuple[str, ...] and isinstance(value, list)
            options[field.name] = tuple(value) if is_list else value
    try:
        config(**options)
    except InputError as error:
        raise InputError(f"{path}: {verb}_{error}") from error
