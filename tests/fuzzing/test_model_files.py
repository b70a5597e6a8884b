"""Configs, tokenizers, indexes and safetensors headers, changed: taken, or refused in a line."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pipelines.estimation.base_model import base_shapes
from storm_core.checkpoints.architecture import build_empty, check_tensors
from storm_core.checkpoints.checkpoint import copy_companions, open_checkpoint
from storm_core.checkpoints.forward_settings import forward_settings
from storm_core.checkpoints.loading import load_tokenizer
from storm_core.checkpoints.weight_files import INDEX_NAME, SINGLE_NAME
from storm_core.merging.compatibility import check_mergeable
from tests.checkpoints.families import make_family
from tests.fuzzing.model_files import (
    ModelFiles,
    Tensors,
    in_shards,
    model_files,
    mutate_model,
    mutate_tensors,
    tensors_of,
)
from tests.fuzzing.readers import Reader, fuzz, readers, times

_TOKENIZER = ("tokenizer_config.json", "tokenizer.json")
_SIZES: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2, "head_dim": 8}


def models(directory: Path) -> Sequence[Path]:
    """One of each way to say rotary positions, windows and heads."""
    return [
        make_family("Llama 3.1", directory / "llama", **_SIZES),
        make_family("Qwen3", directory / "qwen3", **_SIZES),
        make_family("Gemma 3 (text)", directory / "gemma3", **_SIZES),
        make_family("Phi-4-mini", directory / "phi"),
    ]


def configs(directory: Path) -> Sequence[ModelFiles]:
    return [model_files(model, "config.json") for model in models(directory)]


def read_config(model: ModelFiles, place: Path) -> None:
    """What scan, merge and quantize read, and what they write."""
    checkpoint = open_checkpoint(model.write(place))
    forward_settings(checkpoint.config)
    check_mergeable(open_checkpoint(model.directory), checkpoint)
    (place / "copy").mkdir()
    copy_companions(place, place / "copy")


def estimate(model: ModelFiles, place: Path) -> None:
    base_shapes(str(model.write(place)))


def build(model: ModelFiles, place: Path) -> None:
    """What fetch and train ask transformers."""
    checkpoint = open_checkpoint(model.write(place))
    check_tensors(build_empty(place), checkpoint)


def tokenizers(directory: Path) -> Sequence[ModelFiles]:
    return [model_files(make_family(name, directory / name), *_TOKENIZER) for name in ("SmolLM2", "Mistral")]


def read_tokenizer(model: ModelFiles, place: Path) -> None:
    load_tokenizer(model.write(place))


def read_vocabulary(model: ModelFiles, place: Path) -> None:
    checkpoint = open_checkpoint(model.write(place))
    check_mergeable(open_checkpoint(model.directory), checkpoint)


def indexes(directory: Path) -> Sequence[ModelFiles]:
    model = make_family("SmolLM2", directory / "model", **_SIZES)
    return [model_files(in_shards(model, directory / "shards"), INDEX_NAME)]


def read_weights(model: ModelFiles, place: Path) -> None:
    checkpoint = open_checkpoint(model.write(place))
    for name in checkpoint.tensors:
        checkpoint.load(name)


def weights(directory: Path) -> Sequence[Tensors]:
    return [tensors_of(make_family(name, directory / name, **_SIZES)) for name in ("SmolLM2", "Qwen2")]


def read_tensors(tensors: Tensors, place: Path) -> None:
    (place / "config.json").write_bytes(tensors.config)
    (place / SINGLE_NAME).write_bytes(tensors.content())
    checkpoint = open_checkpoint(place)
    for name in checkpoint.tensors:
        checkpoint.load(name)


@pytest.mark.slow
@times
@readers(
    Reader(name="config.json", valid=configs, mutate=mutate_model, read=read_config, inputs=300),
    Reader(
        name="config.json for an estimate",
        valid=lambda d: configs(d)[:1],
        mutate=mutate_model,
        read=estimate,
        inputs=100,
    ),
    Reader(name="config.json for transformers", valid=configs, mutate=mutate_model, read=build, inputs=60),
    Reader(name="tokenizer", valid=tokenizers, mutate=mutate_model, read=read_tokenizer, inputs=50),
    Reader(name="vocabulary", valid=tokenizers, mutate=mutate_model, read=read_vocabulary, inputs=40),
    Reader(name="index", valid=indexes, mutate=mutate_model, read=read_weights, inputs=100),
)
def test_changed_model_file_is_taken_or_refused(reader: Reader[ModelFiles], times: int, tmp_path: Path) -> None:
    fuzz(reader, times, tmp_path)


@times
@readers(Reader(name="safetensors", valid=weights, mutate=mutate_tensors, read=read_tensors, inputs=300))
def test_changed_safetensors_file_is_taken_or_refused(reader: Reader[Tensors], times: int, tmp_path: Path) -> None:
    fuzz(reader, times, tmp_path)
