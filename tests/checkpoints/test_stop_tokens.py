"""A model that is written stops where its chat template, or that of a parent, ends answers."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from storm_core.chat_templates.chat_template import ChatTemplate
from storm_core.checkpoints.config import FETCH, FetchConfig
from storm_core.checkpoints.loading import load_tokenizer
from storm_core.checkpoints.stop_tokens import add_stop_tokens, read_stop_tokens
from storm_core.checkpoints.turn_ends import tell_unwritten_ends, write_turn_ends
from storm_core.config import StageConfig
from storm_core.errors import InputError
from storm_core.execution import execute
from storm_core.merging.config import MERGE, MergeConfig
from storm_core.quantization.config import QUANTIZE, QuantizeConfig
from storm_core.stage import Stage


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
    add_stop_tokens(tmp_path, [7])
    assert json.loads((tmp_path / "generation_config.json").read_text()) == expected


def test_what_names_them_already_stays_as_it_is(tmp_path: Path) -> None:
    write(tmp_path, "config.json", {"eos_token_id": 7})
    add_stop_tokens(tmp_path, [7])
    assert not (tmp_path / "generation_config.json").exists()
    file = write(tmp_path, "generation_config.json", '{"eos_token_id":[5,7]}')
    add_stop_tokens(tmp_path, [7])
    assert file.read_text() == '{"eos_token_id":[5,7]}'


@pytest.mark.parametrize("value", ["902", [902, "<|im_end|>"], 902.0, {"id": 902}, [[902]], True])
@pytest.mark.parametrize("name", ["generation_config.json", "config.json"])
def test_what_is_no_tokens_id_is_named(name: str, value: Any, tmp_path: Path) -> None:
    write(tmp_path, name, {"eos_token_id": value})
    with pytest.raises(InputError, match=rf"{name}: eos_token_id must be a token's ID or a list of them, got"):
        read_stop_tokens(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", "7"])
def test_file_that_is_none_is_named(content: str, tmp_path: Path) -> None:
    write(tmp_path, "generation_config.json", content)
    with pytest.raises(InputError, match=r"generation_config\.json"):
        add_stop_tokens(tmp_path, [7])


def without_the_end(model: Path, directory: Path, stops: Any) -> Path:
    """A copy of the model that stops elsewhere than its template ends answers."""
    shutil.copytree(model, directory)
    for name in ("config.json", "generation_config.json"):
        write(directory, name, {**json.loads((directory / name).read_text()), "eos_token_id": stops})
    return directory


def run(stage: Stage, options: StageConfig, output: Path, **inputs: Path) -> list[int]:
    """Where the model stops that the stage writes."""
    given = {name: [str(path)] for name, path in inputs.items()}
    execute(stage, options, inputs=given, outputs={next(iter(stage.outputs)): output}, value_files={})
    return read_stop_tokens(output)


def test_every_stage_that_writes_a_model_has_it_stop_where_answers_end(
    tiny_llama: Path, other_tiny_llama: Path, tmp_path: Path
) -> None:
    (end,) = read_stop_tokens(tiny_llama)
    model = without_the_end(tiny_llama, tmp_path / "model", 0)
    other = without_the_end(other_tiny_llama, tmp_path / "other", [5, 0])
    assert run(FETCH, FetchConfig(), tmp_path / "fetched", source=model) == [0, end]
    assert run(QUANTIZE, QuantizeConfig(), tmp_path / "quantized", model=model) == [0, end]
    fetched = tmp_path / "fetched"
    assert run(MERGE, MergeConfig(), tmp_path / "a", base_model=fetched, other_model=other) == [0, end, 5]
    assert run(MERGE, MergeConfig(), tmp_path / "b", base_model=other, other_model=fetched) == [5, 0, end]


def test_model_without_a_chat_template_is_quantized_as_it_is(tiny_llama: Path, tmp_path: Path) -> None:
    model = without_the_end(tiny_llama, tmp_path / "model", 0)
    (model / "chat_template.jinja").unlink()
    assert run(QUANTIZE, QuantizeConfig(), tmp_path / "quantized", model=model) == [0]


def test_where_a_server_would_go_on_is_said(
    tiny_llama: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = Path(shutil.copytree(tiny_llama, tmp_path / "model"))
    tokenizer = load_tokenizer(model)
    template = ChatTemplate(tokenizer)
    write(model, "generation_config.json", {"eos_token_id": tokenizer.convert_tokens_to_ids("<|endoftext|>")})
    tell_unwritten_ends(model, tokenizer, template)
    assert "ends answers with <|im_end|>, and generation_config.json does not stop there" in capsys.readouterr().err
    write_turn_ends(model)
    capsys.readouterr()
    tell_unwritten_ends(model, tokenizer, template)
    assert capsys.readouterr().err == ""
