"""The trainer: its loss, its batches and its schedule of validation passes."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy
from trl.trainer.sft_trainer import SFTTrainer

from storm_core.checkpoints.loading import load_model, load_tokenizer
from storm_core.finetuning.config import TrainConfig
from storm_core.finetuning.history import evaluation_steps
from storm_core.finetuning.length_grouping import LengthGroupedSampler
from storm_core.finetuning.tokenization import IGNORED, TokenizedExample
from storm_core.finetuning.training import AnswerTrainer, build_trainer, update_count


@pytest.fixture
def trainer(tiny_llama: Path, tmp_path: Path) -> AnswerTrainer:
    examples = [
        TokenizedExample(input_ids=[5, 6, 7, 8, 9], labels=[IGNORED, IGNORED, 7, 8, 9]),
        TokenizedExample(input_ids=[11, 12, 13], labels=[IGNORED, 12, IGNORED]),
    ]
    return build_trainer(
        load_model(tiny_llama, torch.float32),
        load_tokenizer(tiny_llama),
        {"train": examples, "validation": examples[:1]},
        TrainConfig(epochs=1.0, dtype="float32"),
        tmp_path,
    )


def test_loss_is_the_mean_over_labelled_tokens_of_the_whole_batch(trainer: AnswerTrainer) -> None:
    (batch,) = trainer.get_train_dataloader()
    labels = batch["labels"][:, 1:]
    assert trainer.model is not None
    logits = trainer.model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1]
    expected = cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED)
    torch.testing.assert_close(trainer.compute_loss(trainer.model, dict(batch)), expected)


def test_loss_and_gradients_equal_those_of_trl(trainer: AnswerTrainer) -> None:
    (batch,) = trainer.get_train_dataloader()
    losses, gradients = [], []
    model: Any = trainer.model
    for compute_loss in (AnswerTrainer.compute_loss, SFTTrainer.compute_loss):
        model.zero_grad()
        loss = compute_loss(trainer, model, dict(batch), num_items_in_batch=torch.tensor(7))
        loss.backward()
        losses.append(loss.detach())
        gradients.append([parameter.grad.clone() for parameter in model.parameters()])
    torch.testing.assert_close(losses[0], losses[1])
    torch.testing.assert_close(gradients[0], gradients[1])


@given(
    st.lists(st.integers(1, 50), min_size=1, max_size=60),
    st.integers(1, 8),
    st.integers(0, 5),
)
def test_each_pass_takes_every_example_once(lengths: list[int], batch_size: int, seed: int) -> None:
    sampler = LengthGroupedSampler(lengths, batch_size, seed)
    for _ in range(2):
        assert sorted(sampler) == list(range(len(lengths)))


def test_batches_hold_examples_of_like_length_in_no_order_of_length() -> None:
    lengths = [10, 90] * 40
    batches = torch.tensor([lengths[index] for index in LengthGroupedSampler(lengths, 4, seed=0)]).view(-1, 4)
    assert bool((batches == batches[:, :1]).all())
    firsts = batches[:, 0].tolist()
    assert firsts not in (sorted(firsts), sorted(firsts, reverse=True))


def order(sampler: LengthGroupedSampler, epoch: int) -> list[int]:
    sampler.set_epoch(epoch)
    return list(sampler)


def test_order_differs_between_passes_and_is_found_again_without_those_before() -> None:
    first, again = (LengthGroupedSampler([1] * 20, 2, seed=3) for _ in range(2))
    passes = [order(first, epoch) for epoch in range(3)]
    assert passes[0] != passes[1] != passes[2]
    assert order(again, 2) == passes[2]


@given(st.integers(1, 500), st.integers(1, 20))
def test_validation_passes_are_spread_and_end_with_the_last_step(steps: int, evaluations: int) -> None:
    due = sorted(evaluation_steps(steps, evaluations))
    assert due[-1] == steps
    assert due[0] > 0
    assert len(due) == min(steps, evaluations)


@pytest.mark.parametrize(
    ("examples", "options", "expected"),
    [
        (10, {"epochs": 1.0, "batch_size": 4}, 3),
        (10, {"epochs": 4.0, "batch_size": 4}, 12),
        (10, {"epochs": 2.0, "batch_size": 2, "gradient_accumulation_steps": 2}, 6),
        (8, {"epochs": 0.25, "batch_size": 2}, 1),
    ],
)
def test_updates_are_counted_as_the_trainer_makes_them(examples: int, options: dict[str, float], expected: int) -> None:
    assert update_count(examples, TrainConfig(**options)) == expected  # type: ignore[arg-type]
