"""The tokens at which a model stops, as its `generation_config.json` tells them to whoever serves it."""

from collections.abc import Iterable
from pathlib import Path

from storm_core.checkpoints.settings_files import read_settings, write_settings
from storm_core.errors import InputError

_FILE = "generation_config.json"


def read_stop_tokens(directory: Path) -> list[int]:
    """The token ids at which the model in `directory` stops: by its generation config, or where that has none its own.

    Raises:
        InputError: one of the files is not a config, or names no tokens by their ids.
    """
    # Without such a file, or where it names none, models stop at that of their config.
    files = (directory / _FILE, directory / "config.json")
    return next(filter(None, [_ids(file) for file in files]), [])


def add_stop_tokens(directory: Path, tokens: Iterable[int]) -> list[int]:
    """Have the model in `directory` stop at `tokens` too; returns those that it did not stop at before.

    Nothing is written where there are none.

    Raises:
        InputError: one of the files is not a config.
    """
    known = read_stop_tokens(directory)
    missing = [token for token in tokens if token not in known]
    if missing:
        file = directory / _FILE
        settings = {**read_settings(file), "eos_token_id": [*known, *missing]}
        write_settings(file, settings)
    return missing


def _ids(file: Path) -> list[int]:
    value = read_settings(file).get("eos_token_id")
    listed = value if isinstance(value, list) else [value] if value is not None else []
    for one in listed:
        if type(one) is not int:
            raise InputError(f"{file}: eos_token_id must be a token's ID or a list of them, got {value!r:.80}")
    return listed
