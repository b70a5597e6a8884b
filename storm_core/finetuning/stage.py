"""The `train` stage: a model, a selection and a scan in; the fine-tuned model and the course of its training out."""

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from storm_core import processes
from storm_core.chat_templates.answer_tokens import AnswerTokens
from storm_core.chat_templates.chat_template import ChatTemplate
from storm_core.chat_templates.telling import tell_readings
from storm_core.checkpoints.architecture import check_tensors
from storm_core.checkpoints.checkpoint import Checkpoint, open_checkpoint
from storm_core.checkpoints.loading import load_model, load_tokenizer
from storm_core.devices import resolve_dtype
from storm_core.errors import InputError
from storm_core.finetuning.attempt import train
from storm_core.finetuning.compilation import check_compiler
from storm_core.finetuning.config import TrainConfig
from storm_core.finetuning.course import Course
from storm_core.finetuning.course_files import write_course
from storm_core.finetuning.data_order import Batch, plan_updates
from storm_core.finetuning.exchange import check_processes
from storm_core.finetuning.flat_examples import TokenizedExamples
from storm_core.finetuning.freezing import (
    find_yaml,
    hash_tensors,
    prove_freezing,
    read_patterns,
    trained_names,
    unfreeze,
)
from storm_core.finetuning.held_out import read_held_out
from storm_core.finetuning.learner import Learner
from storm_core.finetuning.liger import check_liger
from storm_core.finetuning.precision import hold_frozen_in_bfloat16
from storm_core.finetuning.sharding import in_shares
from storm_core.finetuning.shares import model_to_share
from storm_core.finetuning.tokenization import (
    CONTROL_TOKENS,
    TOO_LONG,
    Dropped,
    TokenizedExample,
    describe_dropped,
    padding_token,
    tokenize_examples,
)
from storm_core.finetuning.tokenized_files import tokenized_once, tokens_identity
from storm_core.finetuning.turn_ends import write_turn_ends
from storm_core.finetuning.weights import check_packing, check_trainable, hand_over_weights, write_weights
from storm_core.machine_errors import check_room
from storm_core.progress import progress, report
from storm_core.records import count_examples, read_examples
from storm_core.stage import Inputs, Results
from storm_core.workspace import Workspace

SPLITS = ("train", "validation")


def run(config: TrainConfig, inputs: Inputs, outputs: Mapping[str, Path], workspace: Workspace) -> Results:
    """Train and write the tuned model, `history.json`, `updates.parquet`, `freezing.json` and `examples.json`.

    Several processes train together; the main one writes.

    Checkpoints are partial results of the run: an attempt that was killed or told to stop is continued.
    """
    check_processes(config)
    if config.compile:
        check_compiler()
    source = inputs["model"].path
    checkpoint = open_checkpoint(source)
    check_trainable(checkpoint)
    check_room(outputs["tuned_model"], checkpoint.bytes, "the tuned model")
    if config.kernels == "liger":
        check_liger(str(checkpoint.config["model_type"]))
    yaml_file = find_yaml(inputs["scan"])
    patterns = read_patterns(yaml_file)
    tokenizer = load_tokenizer(source)
    template = ChatTemplate(tokenizer, config.template_date)
    tell_readings(template)
    # Scratch files, as large as a checkpoint, go where the model will: there must be room for it anyway.
    # A file system over a network keeps a file that is removed and still mapped, hidden in its directory.
    with tempfile.TemporaryDirectory(prefix=".", dir=outputs["tuned_model"], ignore_cleanup_errors=True) as scratch:
        examples = {
            split: _tokenized(f"{split}.parquet", inputs, tokenizer, config, workspace, Path(scratch))
            for split in SPLITS
        }
    held_out = read_held_out(inputs.get("held_out"), tokenizer, config.max_length)
    if config.packing:
        check_packing(checkpoint, max(int(examples[split].kept.lengths.max()) for split in SPLITS))
    plan = plan_updates(examples["train"].kept.lengths.tolist(), config)
    _check_updates(len(plan), config)

    model = _model(config, checkpoint, patterns, yaml_file)
    learner = Learner(model, examples["train"].kept, padding_token(tokenizer), config, checkpoint)
    with tempfile.TemporaryDirectory(prefix=".", dir=outputs["tuned_model"]) as scratch:
        course = train(learner, plan, examples["validation"].kept, held_out, config, workspace.of_run(), Path(scratch))
    if not processes.is_main():
        hand_over_weights(model, checkpoint)
        return Results()
    write_weights(model, checkpoint, outputs["tuned_model"])
    write_turn_ends(outputs["tuned_model"], AnswerTokens(tokenizer, template).ends)
    freezing = _prove(checkpoint, outputs["tuned_model"], trained_names(model))
    write_course(course, plan, examples["train"].kept, outputs["training"])
    _write_json(outputs["training"] / "freezing.json", freezing)
    _write_json(outputs["training"] / "examples.json", {split: _count(examples[split]) for split in SPLITS})
    metrics = _metrics(examples, course, freezing, course.kept_step(config.weights_kept))
    return Results(metrics={**metrics, "tokens_trained": _tokens(plan[: course.done], examples["train"])})


def _model(config: TrainConfig, checkpoint: Checkpoint, patterns: list[str], yaml_file: Path) -> PreTrainedModel:
    """The model with the parameters that the scan names set free, and all others as little in the way as can be."""
    source = checkpoint.path
    model = model_to_share(source) if in_shares(config.sharding) else load_model(source, torch.float32)
    check_tensors(model, checkpoint)
    unfreeze(model, patterns, yaml_file)
    if resolve_dtype(config.dtype) is torch.bfloat16:
        hold_frozen_in_bfloat16(model, checkpoint)
    return model


def _tokenized(
    name: str,
    inputs: Inputs,
    tokenizer: PreTrainedTokenizerBase,
    config: TrainConfig,
    workspace: Workspace,
    scratch: Path,
) -> TokenizedExamples:
    """The examples of one file of the selection, as trainings before have left them or made now."""
    make = partial(_read, inputs["selection"].file(name), tokenizer, config)
    identity = tokens_identity(inputs, name, config.max_length)
    if ChatTemplate(tokenizer, config.template_date).tells_date:
        identity["date"] = config.template_date
    examples = tokenized_once(make, workspace.shared(identity), scratch)
    if examples.dropped.counts and processes.is_main():
        report(f"{name}: {describe_dropped(examples.dropped, len(examples.kept))}")
    return examples


def _read(
    file: Path, tokenizer: PreTrainedTokenizerBase, config: TrainConfig, dropped: Dropped
) -> Iterator[TokenizedExample]:
    rows = progress(
        read_examples(file), total=count_examples(file), description=f"tokenize {file.stem}", unit="examples"
    )
    example = None
    for example in tokenize_examples(rows, tokenizer, config.max_length, dropped, config.template_date):
        yield example
    if example is None:
        raise InputError(f"no example of {file} can be used: {describe_dropped(dropped, 0)}; {_advice(dropped)}")


def _advice(dropped: Dropped) -> str:
    """What to do about the reason that most examples are left out for."""
    ((reason, _),) = dropped.counts.most_common(1) or [("", 0)]
    advice = {TOO_LONG: "raise max_length", CONTROL_TOKENS: "select others"}
    return advice.get(reason, "train a model with another chat template") if reason else "select more"


def _check_updates(updates: int, config: TrainConfig) -> None:
    if updates == 1 and config.warmup_ratio > 0:
        raise InputError(
            "training has a single update, whose learning rate the warm-up makes 0; give more epochs or warmup_ratio=0"
        )


def _prove(before: Checkpoint, directory: Path, trained: set[str]) -> dict[str, Any]:
    after = open_checkpoint(directory)
    return prove_freezing(hash_tensors(before), hash_tensors(after), trained, before.tensors)


def _write_json(file: Path, content: Any) -> None:
    file.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _count(examples: TokenizedExamples) -> dict[str, Any]:
    kept = len(examples.kept)
    return {
        "read": kept + examples.dropped.counts.total(),
        "kept": kept,
        "dropped": dict(examples.dropped.counts),
        "tokens": int(examples.kept.lengths.sum()),
        "answer_tokens": examples.kept.answer_tokens(),
    }


def _tokens(updates: Sequence[Sequence[Batch]], examples: TokenizedExamples) -> int:
    """Tokens of all examples of the updates, each as often as it is taken."""
    of_example = examples.kept.lengths.tolist()
    return sum(of_example[number] for update in updates for batch in update for number in batch)


def _metrics(
    examples: Mapping[str, TokenizedExamples], course: Course, freezing: Mapping[str, Any], kept_step: int
) -> dict[str, float]:
    trained = freezing["trained"]["parameters"]
    metrics = {
        "updates": course.done,
        "train_loss": course.train[-1]["loss"],
        "validation_loss_before": course.validation[0]["loss"],
        "validation_loss_after": next(
            point["loss"] for point in reversed(course.validation) if point["step"] <= kept_step
        ),
        "trained_parameters": trained,
        "trained_parameters_fraction": trained / (trained + freezing["frozen"]["parameters"]),
        "tensors_unchanged_by_rounding": freezing["trained"]["unchanged_by_rounding"],
    }
    if course.held_out:
        metrics["held_out_loss_before"] = course.held_out[0]["loss"]
        metrics["held_out_loss_after"] = course.held_out[-1]["loss"]
    for split in SPLITS:
        metrics |= {f"{split}_examples": len(examples[split].kept)}
        metrics |= {
            f"{split}_dropped_{reason}": count for reason, count in sorted(examples[split].dropped.counts.items())
        }
    return metrics
