"""The `train` stage: a model, a selection and a scan in; the fine-tuned model and the course of its training out."""

import json
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from storm_core.checkpoints.checkpoint import Checkpoint, open_checkpoint
from storm_core.checkpoints.loading import load_model, load_tokenizer
from storm_core.devices import resolve_dtype
from storm_core.errors import InputError
from storm_core.finetuning.attempt import train
from storm_core.finetuning.config import TrainConfig
from storm_core.finetuning.freezing import (
    find_yaml,
    hash_tensors,
    prove_freezing,
    read_patterns,
    trained_names,
    unfreeze,
)
from storm_core.finetuning.history import read_history
from storm_core.finetuning.precision import hold_frozen_in_bfloat16
from storm_core.finetuning.tokenization import IGNORED, TokenizedExample, TokenizedExamples, tokenize_examples
from storm_core.finetuning.training import build_trainer, update_count
from storm_core.finetuning.training_checkpoints import TrainingCheckpoints
from storm_core.finetuning.weights import check_same_tensors, check_trainable, write_weights
from storm_core.progress import progress, report
from storm_core.records import count_examples, read_examples
from storm_core.stage import Inputs, Results
from storm_core.workspace import Workspace

SPLITS = ("train", "validation")


def run(config: TrainConfig, inputs: Inputs, outputs: Mapping[str, Path], workspace: Workspace) -> Results:
    """Train and write the tuned model, `history.json`, `freezing.json` and `examples.json`.

    Checkpoints are partial results of the run: an attempt that was killed or told to stop is continued.
    """
    source = inputs["model"].path
    checkpoint = open_checkpoint(source)
    check_trainable(checkpoint)
    yaml_file = find_yaml(inputs["scan"])
    patterns = read_patterns(yaml_file)
    tokenizer = load_tokenizer(source)
    files = {split: inputs["selection"].file(f"{split}.parquet") for split in SPLITS}
    examples = {split: _read(file, tokenizer, config.max_length) for split, file in files.items()}
    _check_updates(len(examples["train"].kept), config)

    model = load_model(source, torch.float32)
    check_same_tensors(model, checkpoint)
    unfreeze(model, patterns, yaml_file)
    if resolve_dtype(config.dtype) is torch.bfloat16:
        hold_frozen_in_bfloat16(model, checkpoint)
    checkpoints = TrainingCheckpoints(workspace.of_run())
    # Scratch files, as large as a checkpoint, go where the model will: there must be room for it anyway.
    with tempfile.TemporaryDirectory(prefix=".", dir=outputs["tuned_model"]) as scratch:
        kept = {split: examples[split].kept for split in SPLITS}
        history = _train(model, tokenizer, kept, config, checkpoints, Path(scratch))
    write_weights(model, checkpoint, outputs["tuned_model"])
    freezing = _prove(checkpoint, outputs["tuned_model"], trained_names(model))

    _write_json(outputs["training"] / "history.json", history)
    _write_json(outputs["training"] / "freezing.json", freezing)
    _write_json(outputs["training"] / "examples.json", {split: _count(examples[split]) for split in SPLITS})
    tokens_trained = config.epochs * _count_tokens(examples["train"].kept)
    return Results(metrics={**_metrics(examples, history, freezing), "tokens_trained": tokens_trained})


def _read(file: Path, tokenizer: PreTrainedTokenizerBase, max_length: int) -> TokenizedExamples:
    rows = progress(
        read_examples(file), total=count_examples(file), description=f"tokenize {file.stem}", unit="examples"
    )
    examples = tokenize_examples(rows, tokenizer, max_length)
    if not examples.kept:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(examples.dropped.items()))
        raise InputError(
            f"no example of {file} can be used ({reasons or 'it is empty'}); select more or raise max_length"
        )
    return examples


def _check_updates(examples: int, config: TrainConfig) -> None:
    if update_count(examples, config) == 1 and config.warmup_ratio > 0:
        raise InputError(
            "training has a single update, whose learning rate the warm-up makes 0; give more epochs or warmup_ratio=0"
        )


def _train(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    examples: Mapping[str, list[TokenizedExample]],
    config: TrainConfig,
    checkpoints: TrainingCheckpoints,
    scratch: Path,
) -> dict[str, list[dict[str, float]]]:
    trainer = build_trainer(model, tokenizer, examples, config, scratch)
    started = time.monotonic()
    done_earlier = train(
        trainer,
        checkpoints,
        scratch,
        checkpoint_minutes=config.checkpoint_minutes,
        evaluations=config.evaluations,
    )
    seconds = time.monotonic() - started
    share = 1 - done_earlier / trainer.state.max_steps
    tokens = share * config.epochs * _count_tokens(examples["train"])
    report(f"train: {tokens / seconds:.0f} tokens a second, validation included")
    return read_history(trainer.state)


def _prove(before: Checkpoint, directory: Path, trained: set[str]) -> dict[str, Any]:
    after = open_checkpoint(directory)
    return prove_freezing(hash_tensors(before), hash_tensors(after), trained, before.tensors)


def _write_json(file: Path, content: Any) -> None:
    file.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _count(examples: TokenizedExamples) -> dict[str, Any]:
    kept = len(examples.kept)
    return {
        "read": kept + examples.dropped.total(),
        "kept": kept,
        "dropped": dict(examples.dropped),
        "tokens": _count_tokens(examples.kept),
        "answer_tokens": sum(label != IGNORED for example in examples.kept for label in example.labels),
    }


def _count_tokens(examples: list[TokenizedExample]) -> int:
    return sum(len(example.input_ids) for example in examples)


def _metrics(
    examples: Mapping[str, TokenizedExamples],
    history: Mapping[str, list[dict[str, float]]],
    freezing: Mapping[str, Any],
) -> dict[str, float]:
    trained = freezing["trained"]["parameters"]
    metrics = {
        "updates": history["train"][-1]["step"],
        "train_loss": history["train"][-1]["loss"],
        "validation_loss_before": history["validation"][0]["loss"],
        "validation_loss_after": history["validation"][-1]["loss"],
        "trained_parameters": trained,
        "trained_parameters_fraction": trained / (trained + freezing["frozen"]["parameters"]),
        "tensors_unchanged_by_rounding": freezing["trained"]["unchanged_by_rounding"],
    }
    for split in SPLITS:
        metrics |= {f"{split}_examples": len(examples[split].kept)}
        metrics |= {f"{split}_dropped_{reason}": count for reason, count in sorted(examples[split].dropped.items())}
    return metrics
