"""Read and write the JSON files of a model directory."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from storm_core.checkpoints.text_part import has_text_part, text_config
from storm_core.errors import InputError


def read_model_config(path: Path) -> dict[str, Any]:
    """`config.json` of a model directory; of a multimodal model what it says of its text part, where that is taken.

    Raises:
        InputError: it is missing, not JSON, or asks for code from a hub (`auto_map`).
    """
    config = read_whole_config(path)
    return text_config(config) if has_text_part(config) else config


def read_whole_config(path: Path) -> dict[str, Any]:
    """`config.json` as it is.

    Raises:
        InputError: as `read_model_config`.
    """
    file = path / "config.json"
    if not file.is_file():
        raise InputError(f"no config.json in {path}; give a model directory in the Hugging Face layout")
    config = read_settings(file)
    if "auto_map" in config:
        raise InputError(f"{file} has auto_map, which runs code from a hub; that is never done")
    return config


def read_settings(file: Path) -> dict[str, Any]:
    """The JSON object in a config file; empty where there is no file.

    Raises:
        InputError: it is not JSON, or no object.
    """
    if not file.is_file():
        return {}
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{file} is not JSON: {error}") from error
    if not isinstance(settings, dict):
        raise InputError(f"{file} does not hold a JSON object")
    return settings


def write_settings(file: Path, settings: Mapping[str, Any]) -> None:
    """Write a JSON object, always in the same form, so that what is written again has the same digest."""
    file.write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
