"""The `train` stage: a model, a selection and a scan in; the fine-tuned model and the course of its training out."""

import contextlib
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from storm_core import processes
from storm_core.chat_templates.answer_tokens import AnswerTokens
from storm_core.chat_templates.chat_template import ChatTemplate
from storm_core.chat_templates.telling import tell_readings
from storm_core.checkpoints.checkpoint import Checkpoint, open_checkpoint
from storm_core.checkpoints.loading import load_tokenizer, load_weights
from storm_core.checkpoints.stop_tokens import add_stop_tokens
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
from storm_core.finetuning.freezing import find_yaml, hash_tensors, prove_freezing, trained_names, unfreeze
from storm_core.finetuning.held_out import read_held_out
from storm_core.finetuning.learner import Learner
from storm_core.finetuning.liger import check_liger
from storm_core.finetuning.patterns import read_patterns
from storm_core.finetuning.precision import hold_frozen_in_bfloat16
from storm_core.finetuning.sharding import in_shares
from storm_core.finetuning.shares import model_to_share
from storm_core.finetuning.tokenization import (
    CONTROL_TOKENS,
    TOO_LONG,
    Dropped,
    ExampleTokenizer,
    TokenizedExample,
    describe_dropped,
    padding_token,
    tokenize_examples,
)
from storm_core.finetuning.tokenized_files import tokenized_once, tokens_identity
from storm_core.finetuning.weights import check_packing, check_trainable, hand_over_weights, write_weights
from storm_core.machine_errors import check_room
from storm_core.progress import progress, report
from storm_core.records import count_examples, read_examples
from storm_core.stage import Inputs, Results
from storm_core.workspace import Workspace

SPLITS = ("train", "validation")
_ADVICE = {TOO_LONG: "raise max_length", CONTROL_TOKENS: "select others"}


def run(config: TrainConfig, inputs: Inputs, outputs: Mapping[str, Path], workspace: Workspace) -> Results:
    """Train and write the tuned model, `history.json`, `updates.parquet`, `freezing.json` and `examples.json`.

    Several processes train together; the main one writes.

    Checkpoints are partial results of the run: an attempt that was killed or told to stop is continued.
    """
    check_processes(config)
    checkpoint = _open(config, inputs["model"].path)
    check_room(outputs["tuned_model"], checkpoint.bytes, "the tuned model")
    yaml_file = find_yaml(inputs["scan"])
    patterns = read_patterns(yaml_file)
    tokenizer = load_tokenizer(checkpoint.path)
    template = ChatTemplate(tokenizer, config.template_date)
    tokens = AnswerTokens(tokenizer, template)
    tell_readings(template)
    examples = _read_splits(config, inputs, outputs, workspace, template, tokens)
    held_out = read_held_out(inputs.get("held_out"), tokenizer, config.max_length)
    plan = _plan(config, checkpoint, examples)

    model = _model(config, checkpoint, patterns, yaml_file)
    learner = Learner(model, examples["train"].kept, padding_token(tokenizer), config, checkpoint)
    with _scratch(outputs) as scratch:
        course = train(learner, plan, examples["validation"].kept, held_out, config, workspace.of_run(), scratch)
    if not processes.is_main():
        hand_over_weights(model, checkpoint)
        return Results()
    write_weights(model, checkpoint, outputs["tuned_model"])
    add_stop_tokens(outputs["tuned_model"], tokens.ends)
    freezing = _prove(checkpoint, outputs["tuned_model"], trained_names(model))
    _write(outputs["training"], course, plan, examples, freezing)
    kept_step = course.kept_step(config.weights_kept)
    return Results(metrics=_metrics(examples, course, plan[: course.done], freezing, kept_step))


def _open(config: TrainConfig, path: Path) -> Checkpoint:
    """The model to train, which the options must fit."""
    if config.compile:
        check_compiler()
    checkpoint = open_checkpoint(path)
    check_trainable(checkpoint)
    if config.kernels == "liger":
        check_liger(str(checkpoint.config["model_type"]))
    return checkpoint


def _read_splits(
    config: TrainConfig,
    inputs: Inputs,
    outputs: Mapping[str, Path],
    workspace: Workspace,
    template: ChatTemplate,
    tokens: AnswerTokens,
) -> dict[str, TokenizedExamples]:
    """The examples of each split, as trainings before have left them or made now."""
    tokenizer = ExampleTokenizer(template, tokens)
    date = config.template_date if template.tells_date else None
    examples = {}
    with _scratch(outputs) as scratch:
        for split in SPLITS:
            name = f"{split}.parquet"
            make = partial(_read, inputs["selection"].file(name), tokenizer, config.max_length)
            shared = workspace.shared(tokens_identity(inputs, name, config.max_length, date))
            examples[split] = tokenized_once(make, shared, scratch)
            if examples[split].dropped.counts:
                report(f"{name}: {describe_dropped(examples[split].dropped, len(examples[split].kept))}")
    return examples


@contextlib.contextmanager
def _scratch(outputs: Mapping[str, Path]) -> Iterator[Path]:
    """A directory for scratch files, as large as a checkpoint, where the model will be: there must be room anyway."""
    # A file system over a network keeps a file that is removed and still mapped, hidden in its directory.
    with tempfile.TemporaryDirectory(prefix=".", dir=outputs["tuned_model"], ignore_cleanup_errors=True) as scratch:
        yield Path(scratch)


def _read(file: Path, tokenizer: ExampleTokenizer, max_length: int, dropped: Dropped) -> Iterator[TokenizedExample]:
    rows = progress(
        read_examples(file), total=count_examples(file), description=f"tokenize {file.stem}", unit="examples"
    )
    example = None
    for example in tokenize_examples(rows, tokenizer, max_length, dropped):
        yield example
    if example is None:
        raise InputError(f"no example of {file} can be used: {describe_dropped(dropped, 0)}; {_advice(dropped)}")


def _advice(dropped: Dropped) -> str:
    """What to do about the reason that most examples are left out for."""
    if not dropped.counts:
        return "select more"
    ((reason, _),) = dropped.counts.most_common(1)
    return _ADVICE.get(reason, "train a model with another chat template")


def _plan(config: TrainConfig, checkpoint: Checkpoint, examples: Mapping[str, TokenizedExamples]) -> list[list[Batch]]:
    """The batches of each update.

    Raises:
        InputError: the model's attention takes no packs, or the only update would have a learning rate of 0.
    """
    if config.packing:
        check_packing(checkpoint, max(int(examples[split].kept.lengths.max()) for split in SPLITS))
    plan = plan_updates(examples["train"].kept.lengths.tolist(), config)
    if len(plan) == 1 and config.warmup_ratio > 0:
        raise InputError(
            "training has a single update, whose learning rate the warm-up makes 0; give more epochs or warmup_ratio=0"
        )
    return plan


def _model(config: TrainConfig, checkpoint: Checkpoint, patterns: list[str], yaml_file: Path) -> PreTrainedModel:
    """The model with the parameters that the scan names set free, and all others as little in the way as can be."""
    model = model_to_share(checkpoint) if in_shares(config.sharding) else load_weights(checkpoint, torch.float32)
    unfreeze(model, patterns, yaml_file)
    if resolve_dtype(config.dtype) is torch.bfloat16:
        hold_frozen_in_bfloat16(model, checkpoint)
    return model


def _prove(before: Checkpoint, directory: Path, trained: set[str]) -> dict[str, Any]:
    after = open_checkpoint(directory)
    return prove_freezing(hash_tensors(before), hash_tensors(after), trained, before.tensors)


def _write(
    directory: Path,
    course: Course,
    plan: Sequence[Sequence[Batch]],
    examples: Mapping[str, TokenizedExamples],
    freezing: Mapping[str, Any],
) -> None:
    """Write what is known of the training beside the model."""
    write_course(course, plan, examples["train"].kept, directory)
    _write_json(directory / "freezing.json", freezing)
    _write_json(directory / "examples.json", {split: _count(examples[split]) for split in SPLITS})


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
    examples: Mapping[str, TokenizedExamples],
    course: Course,
    updates: Sequence[Sequence[Batch]],
    freezing: Mapping[str, Any],
    kept_step: int,
) -> dict[str, float]:
    """What the training comes to after `updates`, with the weights of `kept_step`."""
    trained = freezing["trained"]["parameters"]
    metrics = {
        "updates": course.done,
        "tokens_trained": _tokens(updates, examples["train"]),
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
