"""Which weights are read: the same ones by every opener, all that the architecture wants, or a refusal by name."""

import copy
import hashlib
import json
import random
import re
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from storm_core.checkpoints.architecture import parts_of
from storm_core.checkpoints.checkpoint import open_checkpoint, write_checkpoint
from storm_core.checkpoints.loading import load_model
from storm_core.checkpoints.loading_directory import linked_alone
from storm_core.checkpoints.shapes import parameters_of
from storm_core.checkpoints.weight_files import SINGLE_NAME
from storm_core.checkpoints.wrapper_names import check_unwrapped, model_name
from storm_core.errors import InputError
from tests.checkpoints.families import FAMILIES, SIZES, make_family
from tests.checkpoints.spoiling import change_config, change_tensors, cut_into_shards, write_tensors

WRAPPERS = ("_orig_mod", "module", "_forward_module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
STRAYS = ("model_ema.safetensors", "consolidated.safetensors", "consolidated.00.safetensors", "model.fp16.safetensors")
CHOICES: Mapping[str, tuple[Any, ...]] = {
    "tie_word_embeddings": (True, False),
    "attention_bias": (True, False),
    "mlp_bias": (True, False),
    "num_key_value_heads": (1, 2, 4),
    "head_dim": (16, 32),
    "vocab_size": (97, 128),
}


def digest(tensors: Mapping[str, Tensor]) -> str:
    """Of names and bytes, in the order of the names."""
    sha256 = hashlib.sha256()
    for name in sorted(tensors):
        sha256.update(name.encode() + tensors[name].detach().float().numpy().tobytes())
    return sha256.hexdigest()


def digests(model: Path, scratch: Path) -> set[str]:
    """Digests of the weights by each of the ways in which stages come to them."""
    opened = open_checkpoint(model)
    streamed = {name: opened.load(name) for name in opened.tensors}
    loaded: Any = load_model(model, torch.float32)
    written = scratch / "written"
    written.mkdir()
    write_checkpoint(written, streamed.items(), source=model)
    with linked_alone(opened) as directory:
        named: dict[str, Tensor] = {}
        for file in directory.glob("*.safetensors"):
            named |= {model_name(name): tensor for name, tensor in load_file(file).items()}
    reopened = open_checkpoint(written)
    again = {name: reopened.load(name) for name in reopened.tensors}
    return {digest(tensors) for tensors in (streamed, loaded.state_dict(), named, again)}


@pytest.mark.parametrize("name", sorted({family.model_type for family in FAMILIES.values()}))
@pytest.mark.parametrize("seed", range(8))
def test_parameters_are_those_that_transformers_builds(name: str, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 (no secret)
    chosen = {key: rng.choice(values) for key, values in CHOICES.items() if rng.random() < 0.6}
    settings = {**SIZES, "vocab_size": 96, "num_hidden_layers": rng.randint(1, 3), "pad_token_id": None, **chosen}
    config = AutoConfig.for_model(name, **copy.deepcopy(settings))
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    expected = {part: tuple(tensor.shape) for part, tensor in parts_of(model).items()}
    if config.tie_word_embeddings:
        del expected["lm_head.weight"]
    assert parameters_of(config.to_dict(), "it") == expected
    assert parameters_of(json.loads(config.to_json_string()), "it") == expected


def lose(tensors: dict[str, Tensor], name: str) -> None:
    del tensors[name]


def misname(tensors: dict[str, Tensor], name: str) -> None:
    tensors[name.replace("model.", "model.model.") if name.startswith("model.") else f"model.{name}"] = tensors.pop(
        name
    )


def empty(tensors: dict[str, Tensor], name: str) -> None:
    tensors[name] = torch.empty(0, dtype=tensors[name].dtype)


def shorten(tensors: dict[str, Tensor], name: str) -> None:
    tensors[name] = tensors[name][1:].clone()


def turn(tensors: dict[str, Tensor], name: str) -> None:
    tensors[name] = tensors[name][None].clone() if tensors[name].dim() == 1 else tensors[name][:, 1:].clone()


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model of each family. Read only."""
    directory = tmp_path_factory.mktemp("sources")
    return {name: make_family(name, directory / name) for name in FAMILIES}


@pytest.mark.parametrize("spoil", [lose, misname, empty, shorten, turn])
@pytest.mark.parametrize("name", FAMILIES)
def test_a_tensor_that_is_not_as_the_architecture_wants_it_is_named(
    name: str, spoil: Callable[..., None], sources: dict[str, Path], tmp_path: Path
) -> None:
    rng = random.Random(f"{name} {spoil.__name__}")  # noqa: S311 (no secret)
    whole = sources[name] / SINGLE_NAME
    for chosen in rng.sample(sorted(load_file(whole)), 3):
        model = Path(shutil.copytree(sources[name], tmp_path / chosen))
        change_tensors(model, partial(spoil, name=chosen))
        with pytest.raises(InputError) as refused:
            open_checkpoint(model)
        assert re.search(rf"\b{re.escape(chosen)}\b", str(refused.value)), refused.value


@pytest.mark.parametrize("change", [{"num_hidden_layers": 1}, {"num_hidden_layers": 3}, {"vocab_size": 64}])
@pytest.mark.parametrize("name", ["Qwen3", "Gemma 2", "Phi-3"])
def test_a_config_of_another_model_is_refused(
    name: str, change: dict[str, int], sources: dict[str, Path], tmp_path: Path
) -> None:
    model = Path(shutil.copytree(sources[name], tmp_path / "model"))
    change_config(model, **change, layer_types=None)
    with pytest.raises(InputError, match=r"that its config\.json describes"):
        open_checkpoint(model)


@pytest.mark.parametrize("value", [None, 0, -1, "64", 2.5])
@pytest.mark.parametrize("size", ["hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size"])
def test_a_size_that_is_none_is_refused_by_name(model: Path, size: str, value: Any) -> None:
    change_config(model, **{size: value})
    with pytest.raises(InputError, match=size):
        open_checkpoint(model)


def test_more_layers_than_tensors_are_refused_at_once(model: Path) -> None:
    change_config(model, num_hidden_layers=10**12)
    with pytest.raises(InputError, match=r"num_hidden_layers in .* is 1000000000000, and there are 21 tensors"):
        open_checkpoint(model)


def test_a_tied_head_is_no_tensor_that_is_missed(sources: dict[str, Path]) -> None:
    assert "lm_head.weight" not in open_checkpoint(sources["SmolLM2"]).tensors


@pytest.fixture(scope="module")
def other_architecture(tmp_path_factory: pytest.TempPathFactory, llama: Path) -> Path:
    """A model whose parameters are not known without transformers. Read only."""
    directory = tmp_path_factory.mktemp("other") / "model"
    tokenizer = PreTrainedTokenizerFast.from_pretrained(llama)
    config = AutoConfig.for_model("olmo2", **SIZES, vocab_size=len(tokenizer), pad_token_id=None)
    made: Any = AutoModelForCausalLM.from_config(config)
    made.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def test_another_architecture_is_missed_a_tensor_of_one_layer_here_and_any_where_it_is_loaded(
    other_architecture: Path, tmp_path: Path
) -> None:
    assert parameters_of(open_checkpoint(other_architecture).config, "it") is None
    lacking = Path(shutil.copytree(other_architecture, tmp_path / "lacking"))
    change_tensors(lacking, lambda tensors: lose(tensors, "model.layers.1.mlp.up_proj.weight"))
    with pytest.raises(InputError, match=r"no tensor model\.layers\.1\.mlp\.up_proj\.weight"):
        open_checkpoint(lacking)
    headless = Path(shutil.copytree(other_architecture, tmp_path / "headless"))
    change_tensors(headless, lambda tensors: lose(tensors, "lm_head.weight"))
    with pytest.raises(InputError, match=r"needs lm_head\.weight"):
        load_model(headless, torch.float32)
    change_config(other := Path(shutil.copytree(other_architecture, tmp_path / "other")), num_hidden_layers=1)
    with pytest.raises(InputError, match=r"of layer 1, though its config\.json counts 1 layers"):
        open_checkpoint(other)


@pytest.mark.parametrize("seed", range(10))
def test_every_opener_reads_the_same_weights_of_one_model_among_stray_files(
    model: Path, seed: int, tmp_path: Path
) -> None:
    rng = random.Random(seed)  # noqa: S311 (no secret)
    whole = load_file(model / SINGLE_NAME)
    if rng.random() < 0.7:
        cut_into_shards(model, rng.randint(1, 4), has_index=rng.random() < 0.5)
    for stray in rng.sample(STRAYS, rng.randint(0, 2)):
        write_tensors(model / stray, {name: tensor * 3 for name, tensor in whole.items()})
    (model / "original").mkdir()
    write_tensors(model / "original" / SINGLE_NAME, {"x": torch.ones(2)})
    (model / "pytorch_model.bin").write_bytes(b"a pickle")
    assert digests(model, tmp_path) == {digest(whole)}


@pytest.mark.parametrize("seed", range(10))
def test_every_opener_reads_wrapped_names_as_the_models_own(model: Path, seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)  # noqa: S311 (no secret)
    whole = load_file(model / SINGLE_NAME)
    front = "".join(f"{part}." for part in rng.sample(WRAPPERS, rng.randint(0, 2)))
    front = rng.choice((front, "base_model.model."))
    inside = rng.choice(WRAPPERS)
    renamed = {front + name.replace("layers.1.", f"layers.1.{inside}."): tensor for name, tensor in whole.items()}
    write_tensors(model / SINGLE_NAME, renamed)
    assert digests(model, tmp_path) == {digest(whole)}
    stored = [info.stored_as for info in open_checkpoint(model).tensors.values()]
    with pytest.raises(InputError, match=f"{inside}.*storm fetch writes it"):
        check_unwrapped(str(model), sorted(stored, key=lambda name: inside not in name))


def test_names_that_the_model_does_not_have_without_wrappers_are_refused(model: Path) -> None:
    change_tensors(model, lambda tensors: tensors.update({"_orig_mod.lm_head.weight": torch.ones(2, 2)}))
    with pytest.raises(InputError, match=r"lm_head\.weight twice"):
        open_checkpoint(model)


@pytest.mark.parametrize(
    "dtype",
    [
        *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2),
        *(torch.int64, torch.int8, torch.uint8, torch.bool),
    ],
    ids=str,
)
def test_what_a_tensor_takes_is_what_torch_says(model: Path, dtype: torch.dtype) -> None:
    name = "model.norm.weight"
    change_config(model, quantization_config={"quant_method": "compressed-tensors"})  # Others have no such tensors.
    change_tensors(model, lambda tensors: tensors.update({name: tensors[name].to(dtype)}))
    checkpoint = open_checkpoint(model)
    assert checkpoint.tensors[name].bytes == checkpoint.load(name).nbytes
