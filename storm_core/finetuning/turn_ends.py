"""The tokens that end the trained model's answers, as its `generation_config.json` tells them to whoever serves it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from storm_core.checkpoints.settings_files import read_settings, write_settings

_FILE = "generation_config.json"


def write_turn_ends(directory: Path, ends: Iterable[int]) -> None:
    """Add `ends` to those at which the model in `directory` stops; writes nothing where it stops there already.

    Raises:
        InputError: the file is not a generation config.
    """
    file = directory / _FILE
    settings = read_settings(file)
    # Without such a file, or where it names none, models stop at that of their config.
    known = _ids(settings.get("eos_token_id")) or _ids(read_settings(directory / "config.json").get("eos_token_id"))
    missing = [end for end in ends if end not in known]
    if missing:
        settings["eos_token_id"] = [*known, *missing]
        write_settings(file, settings)


def _ids(value: Any) -> list[int]:
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, int)]
