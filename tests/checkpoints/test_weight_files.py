"""Directories that hold no model, or two: refused by name; what lies beside a model is said."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from storm_core.checkpoints.checkpoint import open_checkpoint
from storm_core.checkpoints.loading import load_model
from storm_core.checkpoints.loading_directory import is_plain
from storm_core.checkpoints.weight_files import INDEX_NAME, SINGLE_NAME, find_weight_files
from storm_core.errors import InputError
from tests.checkpoints.families import make_family
from tests.checkpoints.spoiling import change_config, change_tensors, cut_into_shards, write_tensors


def beside_an_index(model: Path) -> None:
    single = (model / SINGLE_NAME).read_bytes()
    cut_into_shards(model, 2, has_index=True)
    (model / SINGLE_NAME).write_bytes(single)


def beside_shards(model: Path) -> None:
    beside_an_index(model)
    (model / INDEX_NAME).unlink()


def with_two_sets_of_shards(model: Path) -> None:
    files = cut_into_shards(model, 2, has_index=False)
    shutil.copyfile(files[0], model / "model-00001-of-00003.safetensors")


def with_a_tensor_in_two_shards(model: Path) -> None:
    one, other = cut_into_shards(model, 2, has_index=True)
    write_tensors(other, {**load_file(other), **dict(list(load_file(one).items())[:1])})


def without_a_shard(model: Path) -> None:
    cut_into_shards(model, 3, has_index=False)[1].unlink()


def without_a_shard_of_the_index(model: Path) -> None:
    cut_into_shards(model, 3, has_index=True)[1].unlink()


def without_a_tensor_of_the_index(model: Path) -> None:
    file = cut_into_shards(model, 2, has_index=True)[1]
    write_tensors(file, dict(list(load_file(file).items())[1:]))


def under_another_name(model: Path) -> None:
    (model / SINGLE_NAME).rename(model / "weights.safetensors")


def with_an_adapter_beside_it(model: Path) -> None:
    (model / "adapter_config.json").write_text("{}")


def with_weights_named_in_the_config(model: Path) -> None:
    change_config(model, transformers_weights="other.safetensors")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (beside_an_index, r"has model\.safetensors and model\.safetensors\.index\.json, which are the weights of two"),
        (beside_shards, r"has model\.safetensors and model-00001-of-00002\.safetensors, which are the weights of two"),
        (with_two_sets_of_shards, "has shards of 00002 and of 00003"),
        (with_a_tensor_in_two_shards, r"is in .*model-00001-of-00002\.safetensors and in .*model-00002-of-00002"),
        (without_a_shard, r"lacks model-00002-of-00003\.safetensors"),
        (without_a_shard_of_the_index, r"lists model-00002-of-00003\.safetensors, which is not in"),
        (without_a_tensor_of_the_index, r"lists .*weight, which none of its files has"),
        (under_another_name, r"if weights\.safetensors is the whole model, name it model\.safetensors"),
        (with_an_adapter_beside_it, r"has one beside a model \(adapter_config\.json\)"),
        (with_weights_named_in_the_config, "has transformers_weights"),
    ],
)
def test_a_directory_of_no_model_or_of_two_is_refused(model: Path, spoil: Callable[[Path], None], reason: str) -> None:
    spoil(model)
    with pytest.raises(InputError, match=reason) as refused:
        open_checkpoint(model)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"weight_map": 3}', '{"weight_map": {}}', '{"weight_map": {"x": 5}}']
)
def test_an_index_that_is_none_is_refused_by_its_name(model: Path, content: str) -> None:
    (model / SINGLE_NAME).rename(model / "model-00001-of-00001.safetensors")
    (model / INDEX_NAME).write_text(content)
    with pytest.raises(InputError, match=r"model\.safetensors\.index\.json"):
        find_weight_files(model, {})


@pytest.mark.parametrize("front", ["", "_orig_mod.", "module._orig_mod."])
@pytest.mark.parametrize("family", ["Llama 3.2", "Qwen2.5", "Gemma 2"])
def test_a_tied_head_that_an_index_lists_and_no_file_has_is_not_missed(family: str, front: str, tmp_path: Path) -> None:
    model = make_family(family, tmp_path / "model")
    plain = load_model(model, torch.float32).state_dict()
    change_tensors(model, lambda tensors: [tensors.update({front + name: tensors.pop(name)}) for name in list(tensors)])
    files = cut_into_shards(model, 3, has_index=True)
    list_in_index(model, f"{front}lm_head.weight", files[0].name)
    assert "lm_head.weight" not in open_checkpoint(model).tensors
    loaded = load_model(model, torch.float32).state_dict()
    assert all(torch.equal(tensor, loaded[name]) for name, tensor in plain.items())


def test_a_head_of_its_own_that_an_index_lists_and_no_file_has_is_missed(model: Path) -> None:
    change_tensors(model, lambda tensors: tensors.pop("lm_head.weight"))
    files = cut_into_shards(model, 2, has_index=True)
    list_in_index(model, "lm_head.weight", files[1].name)
    with pytest.raises(InputError, match=r"lists lm_head\.weight, which none of its files has"):
        open_checkpoint(model)


@pytest.mark.parametrize(
    "change",
    [
        lambda index: index.pop("metadata"),
        lambda index: index.update(metadata=None),
        lambda index: index["metadata"].update(total_size=7),
        lambda index: index["weight_map"].popitem(),
        lambda index: index["weight_map"].update(
            dict.fromkeys(index["weight_map"], "model-00001-of-00002.safetensors")
        ),
    ],
    ids=["no metadata", "null metadata", "another size", "one tensor fewer", "all in one file"],
)
def test_of_an_index_the_files_alone_count(model: Path, change: Callable[[dict[str, Any]], object]) -> None:
    plain = load_model(model, torch.float32).state_dict()
    files = cut_into_shards(model, 2, has_index=True)
    index = json.loads((model / INDEX_NAME).read_text())
    change(index)
    (model / INDEX_NAME).write_text(json.dumps(index))
    if {file.name for file in files} - set(index["weight_map"].values()):
        with pytest.raises(InputError, match="which none of its files has"):
            open_checkpoint(model)
        return
    loaded = load_model(model, torch.float32).state_dict()
    assert loaded.keys() == plain.keys()
    assert all(torch.equal(tensor, loaded[name]) for name, tensor in plain.items())


def list_in_index(model: Path, tensor: str, file: str) -> None:
    index = json.loads((model / INDEX_NAME).read_text())
    index["weight_map"][tensor] = file
    (model / INDEX_NAME).write_text(json.dumps(index))


def test_what_lies_beside_the_weights_is_said(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert is_plain(open_checkpoint(model))
    assert capsys.readouterr().err == ""
    write_tensors(model / "model_ema.safetensors", {"x": torch.ones(2)})
    assert not is_plain(open_checkpoint(model))
    assert "model_ema.safetensors not read; the weights are model.safetensors" in capsys.readouterr().err
