"""TRL's SFT trainer, set up for full fine-tuning of chosen parameters on examples that are already tokenised.

Shapes: B batch, T tokens, A answer positions, V vocabulary.
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from datasets import Dataset
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.data import Sampler
from transformers import PrinterCallback, ProgressCallback
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from storm_core.compute import resolve_device, resolve_dtype
from storm_core.finetuning.config import TrainConfig
from storm_core.finetuning.history import History, Progress
from storm_core.finetuning.tokenization import IGNORED, TokenizedExample

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# Batches among which examples of like length are looked for: enough to waste little padding, few enough to keep chance.
_BATCHES_PER_GROUP = 50


def build_trainer(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    examples: Mapping[str, list[TokenizedExample]],
    config: TrainConfig,
    scratch: Path,
) -> tuple[SFTTrainer, History]:
    """A trainer of the parameters of `model` that require gradients, and the history it fills.

    `examples` holds `train` and `validation`. Nothing is kept of `scratch`.
    """
    history = History(config.evaluations)
    trainer = AnswerTrainer(
        model=model,
        processing_class=tokenizer,
        args=settings(config, scratch),
        train_dataset=_to_dataset(examples["train"]),
        eval_dataset=_to_dataset(examples["validation"]),
        callbacks=[history, Progress()],
    )
    for shown in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(shown)
    return trainer, history


def update_count(examples: int, config: TrainConfig) -> int:
    """How often training on so many examples, on one device, updates the weights."""
    batches = math.ceil(examples / config.batch_size)
    return math.ceil(config.epochs * math.ceil(batches / config.gradient_accumulation_steps))


def settings(config: TrainConfig, scratch: Path) -> SFTConfig:
    """TRL's settings for a config: float32 weights, autocast to bfloat16 where asked, nothing saved or sent."""
    on_cpu = resolve_device().type == "cpu"
    return SFTConfig(
        output_dir=str(scratch),
        dataset_kwargs={"skip_prepare_dataset": True},
        max_length=None,
        num_train_epochs=config.epochs,
        per_device_train_batch_size=config.batch_size,
        per_device_eval_batch_size=1,
        gradient_accumulation_steps=config.gradient_accumulation_steps,
        activation_checkpointing=config.gradient_checkpointing,
        learning_rate=config.learning_rate,
        lr_scheduler_type=config.learning_rate_schedule,
        warmup_steps=config.warmup_ratio,
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_gradient_norm,
        optim="adamw_torch_fused",
        bf16=resolve_dtype(config.dtype) is torch.bfloat16,
        tf32=None,
        use_cpu=on_cpu,
        seed=config.seed,
        data_seed=config.seed,
        eval_strategy="no",  # History asks for each pass itself.
        eval_on_start=True,
        prediction_loss_only=True,
        logging_strategy="steps",
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=not on_cpu,
    )


class AnswerTrainer(SFTTrainer):
    """TRL's trainer with batches of like length, and on a CPU with logits only where an answer stands.

    TRL 1.16's fused head leaves out other positions on GPUs only; on a CPU it projects all of them onto the vocabulary.
    """

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Mean cross-entropy over the labelled tokens of all batches that make one update."""
        if inputs["input_ids"].device.type != "cpu" or self.aux_loss_enabled or return_outputs:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)  # type: ignore[no-untyped-call]
        label_BT = inputs["labels"][:, 1:]
        position_A = (label_BT != IGNORED).any(dim=0).nonzero().squeeze(1)
        label_BA = label_BT[:, position_A]
        logits_BAV = model(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            logits_to_keep=position_A,
            use_cache=False,
        ).logits
        total = cross_entropy(
            logits_BAV.flatten(0, 1).float(), label_BA.flatten(), ignore_index=IGNORED, reduction="sum"
        )
        count = (label_BA != IGNORED).sum() if num_items_in_batch is None else num_items_in_batch
        return total / count

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> "LengthGroupedSampler":
        examples: Any = self.train_dataset
        lengths = [len(input_ids) for input_ids in examples["input_ids"]]
        return LengthGroupedSampler(lengths, self.args.train_batch_size, self.args.seed)


class LengthGroupedSampler(Sampler[int]):
    """Indices in random order, but each batch's examples of like length, so that little is padded.

    Batches come in random order too, unlike in the sampler of transformers, which runs from long to short.
    """

    def __init__(self, lengths: list[int], batch_size: int, seed: int) -> None:
        self._lengths = lengths
        self._batch_size = batch_size
        self._generator = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        shuffled = self._permute(len(self._lengths))
        group = self._batch_size * _BATCHES_PER_GROUP
        batches: list[list[int]] = []
        for start in range(0, len(shuffled), group):
            alike = sorted(shuffled[start : start + group], key=lambda index: self._lengths[index])
            batches += [alike[at : at + self._batch_size] for at in range(0, len(alike), self._batch_size)]
        # A short batch anywhere but at the end would shift the limits of all that follow.
        whole = [batch for batch in batches if len(batch) == self._batch_size]
        rest = [batch for batch in batches if len(batch) < self._batch_size]
        for number in self._permute(len(whole)):
            yield from whole[number]
        for batch in rest:
            yield from batch

    def _permute(self, count: int) -> list[int]:
        order: list[int] = torch.randperm(count, generator=self._generator).tolist()
        return order


def _to_dataset(examples: list[TokenizedExample]) -> Dataset:
    columns: dict[str, list[list[int]]] = {
        "input_ids": [example.input_ids for example in examples],
        "labels": [example.labels for example in examples],
    }
    return Dataset.from_dict(columns)
