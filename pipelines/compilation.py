"""The recipe as KFP YAML, to upload or submit."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from kfp import compiler

from components import images
from pipelines.recipes import load_recipe
from pipelines.storm import storm
from storm_core.errors import InputError
from storm_core.stores.references import STORE_VARIABLE


def compile_recipe(
    recipe_path: Path,
    output: Path,
    *,
    store: str | None = None,
    tracking_uri: str | None = None,
    registry: str | None = None,
    digests: Path | None = None,
) -> None:
    """Write the pipeline with the recipe's arguments as its defaults; a person can still change them for a run.

    Args:
        recipe_path: YAML file of run arguments.
        output: the `.yaml` file to write.
        store: value of `STORM_STORE` in every container; without one, artifacts pass through KFP itself.
        tracking_uri: value of `MLFLOW_TRACKING_URI` in every container.
        registry: where the images were pushed to; without one, a node must have them already.
        digests: the build's metadata file; with it images are named by digest.

    Raises:
        InputError: the recipe cannot work, `output` is not a YAML file in an existing directory, or an image has no
            digest.
    """
    if output.suffix not in (".yaml", ".yml") or not output.parent.is_dir():
        raise InputError(f"output must be a .yaml file in an existing directory, got {output}")
    if digests and not registry:
        raise InputError("digests are a registry's: give --registry with --digests")
    pulled_by = images.pinned(registry, digests) if registry else {}
    arguments = load_recipe(recipe_path)
    environment = {STORE_VARIABLE: store, "MLFLOW_TRACKING_URI": tracking_uri}
    with tempfile.TemporaryDirectory() as directory:
        compiled = Path(directory) / "pipeline.yaml"
        compiler.Compiler().compile(
            storm,
            str(compiled),
            pipeline_name=f"storm-{_kubernetes_name(recipe_path.stem)}",
            pipeline_parameters=arguments,
        )
        document = yaml.safe_load(compiled.read_text(encoding="utf-8"))
    _set_environment(document, {name: value for name, value in environment.items() if value})
    _set_images(document, images.chosen_by(arguments), pulled_by, digests)
    output.write_text(yaml.safe_dump(document, sort_keys=True, width=120), encoding="utf-8")


def _set_environment(document: dict[str, Any], environment: dict[str, str]) -> None:
    for executor in document["deploymentSpec"]["executors"].values():
        variables = executor["container"].setdefault("env", [])
        variables += [{"name": name, "value": value} for name, value in environment.items()]


def _set_images(
    document: dict[str, Any], chosen: Mapping[str, str], pulled_by: Mapping[str, str], digests: Path | None
) -> None:
    for executor in document["deploymentSpec"]["executors"].values():
        container = executor["container"]
        _, verb = container["command"]
        image = chosen.get(verb, container["image"])
        if pulled_by and image not in pulled_by:
            raise InputError(f"{digests} holds no digest for {image}")
        container["image"] = pulled_by.get(image, image)


def _kubernetes_name(text: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in text.lower())
