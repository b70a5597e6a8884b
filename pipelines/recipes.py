"""A recipe: a flat YAML file of run arguments, checked against every stage's config before anything runs."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.signatures import REQUIRED
from pipelines.arguments import REFERENCES, option_arguments, run_arguments
from storm_core.config import StageConfig
from storm_core.errors import InputError
from storm_core.registry.config import REGISTER, check_registered_model_name
from storm_core.run_arguments import argument_of
from storm_core.stages import RERUN, STAGES, load_stage
from storm_core.yaml_documents import read_yaml

_REGISTERED_MODEL_NAME = argument_of(REGISTER.verb, "registered_model_name")


def load_recipe(path: Path, registered_model_name: str | None = None) -> dict[str, Any]:
    """The run arguments in the YAML file at `path`, with lists as lists; a given name replaces the file's.

    Raises:
        InputError: the file cannot be read, or an argument is unknown, missing, of the wrong type or out of range.
    """
    if registered_model_name is not None:
        check_registered_model_name("--registered-model-name", registered_model_name)
    recipe = _read(path)
    _check_names(path, recipe)
    for reference in REFERENCES:
        if not isinstance(recipe.get(reference.name, ""), str):
            raise InputError(f"{path}: {reference.name} must be a string, got {recipe[reference.name]!r}")
    _check_texts(path, recipe)
    _check_rerun(path, recipe.get(RERUN, []))
    for verb in STAGES:
        _check_options(path, recipe, verb, load_stage(verb).config)
    return recipe if registered_model_name is None else {**recipe, _REGISTERED_MODEL_NAME: registered_model_name}


def _read(path: Path) -> dict[str, Any]:
    try:
        recipe = read_yaml(path.read_bytes(), str(path))
    except OSError as error:
        raise InputError(f"cannot read the recipe {path}: {error.strerror}") from error
    if not isinstance(recipe, dict):
        raise InputError(f"{path} must hold run arguments, one `name: value` a line")
    return recipe


def _check_names(path: Path, recipe: Mapping[str, Any]) -> None:
    known = run_arguments()
    for name in recipe:
        if name not in known:
            close = difflib.get_close_matches(str(name), known, n=1)
            hint = f"did you mean {close[0]}?" if close else "see recipes/smoke.yaml for the arguments there are"
            raise InputError(f"{path}: unknown argument {name!r}; {hint}")
    missing = [name for name, argument in known.items() if argument.default is REQUIRED and name not in recipe]
    if missing:
        raise InputError(f"{path}: {', '.join(missing)} must be given")


def _check_texts(path: Path, recipe: Mapping[str, Any]) -> None:
    """Refuse what no command line can hold, on which arguments reach their stages."""
    for name, value in recipe.items():
        texts = [value] if isinstance(value, str) else value if isinstance(value, list) else []
        if any(isinstance(text, str) and "\0" in text for text in texts):
            raise InputError(f"{path}: {name} has a null character, which no command line can hold; got {value!r:.100}")


def _check_rerun(path: Path, names: Any) -> None:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"{path}: {RERUN} must be a list of verbs and tasks, got {names!r}")
    for name in names:
        # A task is called as its verb is, or so and more: evaluate-base.
        if name.partition("-")[0] not in STAGES:
            raise InputError(f"{path}: {RERUN} names {name!r}, which is no task of a verb of {', '.join(STAGES)}")


def _check_options(path: Path, recipe: Mapping[str, Any], verb: str, config: type[StageConfig]) -> None:
    options = {}
    for option, argument in option_arguments(verb).items():
        if argument.name in recipe:
            value = recipe[argument.name]
            is_list = argument.annotation == list[str] and isinstance(value, list)
            options[option] = tuple(value) if is_list else value
    try:
        config(**options)
    except InputError as error:
        raise InputError(f"{path}: {verb}_{error}") from error
