"""A trained model stops where its answers in training did, whoever serves it."""

import json
from pathlib import Path
from typing import Any

import pytest

from storm_core.errors import InputError
from storm_core.finetuning.turn_ends import write_turn_ends


def write(directory: Path, name: str, content: Any) -> Path:
    file = directory / name
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


@pytest.mark.parametrize(
    ("settings", "eos", "expected"),
    [
        ({"eos_token_id": 1, "temperature": 0.5}, 9, {"eos_token_id": [1, 7], "temperature": 0.5}),
        ({"eos_token_id": [1, 2]}, 9, {"eos_token_id": [1, 2, 7]}),
        ({"temperature": 0.5}, 1, {"temperature": 0.5, "eos_token_id": [1, 7]}),
        ({}, None, {"eos_token_id": [7]}),
        (None, 1, {"eos_token_id": [1, 7]}),
    ],
)
def test_end_of_the_templates_turns_is_added(
    settings: dict[str, Any] | None, eos: int | None, expected: dict[str, Any], tmp_path: Path
) -> None:
    write(tmp_path, "config.json", {"eos_token_id": eos})
    if settings is not None:
        write(tmp_path, "generation_config.json", settings)
    write_turn_ends(tmp_path, [7])
    assert json.loads((tmp_path / "generation_config.json").read_text()) == expected


def test_what_names_them_already_stays_as_it_is(tmp_path: Path) -> None:
    write(tmp_path, "config.json", {"eos_token_id": 7})
    write_turn_ends(tmp_path, [7])
    assert not (tmp_path / "generation_config.json").exists()
    file = write(tmp_path, "generation_config.json", '{"eos_token_id":[5,7]}')
    write_turn_ends(tmp_path, [7])
    assert file.read_text() == '{"eos_token_id":[5,7]}'


@pytest.mark.parametrize("content", ["{", "[]", "7"])
def test_file_that_is_none_is_named(content: str, tmp_path: Path) -> None:
    write(tmp_path, "generation_config.json", content)
    with pytest.raises(InputError, match=r"generation_config\.json"):
        write_turn_ends(tmp_path, [7])
