"""Read the JSON files of a model directory."""

import json
import re
from pathlib import Path
from typing import Any

from storm_core.checkpoints.text_part import has_text_part, text_config
from storm_core.errors import InputError, first_line

_SURROGATE = re.compile(r"\\ud[89a-f]", re.IGNORECASE)


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
    if not isinstance(config.get("model_type"), str | None):
        raise InputError(f"{file}: model_type must be the name of an architecture, got {config['model_type']!r:.80}")
    return config


def read_settings(file: Path) -> dict[str, Any]:
    """The JSON object in a config file; empty where there is no file.

    Raises:
        InputError: it is not JSON, or no object, or has text that no file can hold.
    """
    if not file.is_file():
        return {}
    try:
        text = file.read_text(encoding="utf-8")
        settings = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file} is not JSON: {first_line(error)}") from error
    if not isinstance(settings, dict):
        raise InputError(f"{file} does not hold a JSON object")
    if _SURROGATE.search(text):
        _check_encodable(file, settings)
    return settings


def _check_encodable(file: Path, settings: dict[str, Any]) -> None:
    """JSON can spell half of a surrogate pair, which no UTF-8 file can hold: what is read could not be written."""
    try:
        json.dumps(settings, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{file} holds half a surrogate pair, which is not text") from error
