"""TRL's SFT trainer, set up for full fine-tuning of chosen parameters on examples that are already tokenised.

Shapes: B batch, T tokens, A answer positions, V vocabulary.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from datasets import Dataset
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import PrinterCallback, ProgressCallback
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from storm_core.devices import resolve_device, resolve_dtype
from storm_core.finetuning.config import TrainConfig
from storm_core.finetuning.history import Curves, Validation
from storm_core.finetuning.length_grouping import LengthGroupedSampler
from storm_core.finetuning.tokenization import IGNORED, TokenizedExample
from storm_core.finetuning.training_checkpoints import WEIGHTS_FILE

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def build_trainer(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    examples: Mapping[str, list[TokenizedExample]],
    config: TrainConfig,
    scratch: Path,
) -> "AnswerTrainer":
    """A trainer of the parameters of `model` that require gradients.

    `examples` holds `train` and `validation`. Nothing is kept of `scratch`.
    """
    trainer = AnswerTrainer(
        model=model,
        processing_class=tokenizer,
        args=settings(config, scratch),
        train_dataset=_to_dataset(examples["train"]),
        eval_dataset=_to_dataset(examples["validation"]),
        callbacks=[Validation(config.evaluations), Curves()],
    )
    for shown in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(shown)
    return trainer


def update_count(examples: int, config: TrainConfig) -> int:
    """How often training on so many examples, on one device, updates the weights."""
    batches = math.ceil(examples / config.batch_size)
    return math.ceil(config.epochs * math.ceil(batches / config.gradient_accumulation_steps))


def settings(config: TrainConfig, scratch: Path) -> SFTConfig:
    """TRL's settings for a config: float32 weights, autocast to bfloat16 where asked, nothing saved or sent unasked."""
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
        eval_strategy="no",  # Validation asks for each pass itself.
        eval_on_start=True,
        prediction_loss_only=True,
        logging_strategy="steps",
        logging_steps=1,
        save_strategy="no",  # Checkpointing asks for each one itself.
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
        # Padding is on the right, where a causal model's answers cannot see it: without a mask attention is faster.
        logits_BAV = model(input_ids=inputs["input_ids"], logits_to_keep=position_A, use_cache=False).logits
        total = cross_entropy(
            logits_BAV.flatten(0, 1).float(), label_BA.flatten(), ignore_index=IGNORED, reduction="sum"
        )
        count = (label_BA != IGNORED).sum() if num_items_in_batch is None else num_items_in_batch
        return total / count

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """The validation pass; random numbers go on as if it had not been, so that it may be taken again."""
        devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
        with torch.random.fork_rng(devices):
            metrics: dict[str, float] = super().evaluate(*args, **kwargs)
        return metrics

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Write no card beside a checkpoint that only the next attempt will read."""

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Tensor] | None = None) -> None:
        """Save the trained weights alone, in float32: the others are those of the model given."""
        directory = Path(str(output_dir))
        directory.mkdir()
        named = cast("PreTrainedModel", self.model).named_parameters()
        trained = {name: parameter.detach().contiguous() for name, parameter in named if parameter.requires_grad}
        save_file(trained, directory / WEIGHTS_FILE, metadata={"format": "pt"})

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> LengthGroupedSampler:
        examples: Any = self.train_dataset
        lengths = [len(input_ids) for input_ids in examples["input_ids"]]
        return LengthGroupedSampler(lengths, self.args.train_batch_size, self.args.seed)


def _to_dataset(examples: list[TokenizedExample]) -> Dataset:
    columns: dict[str, list[list[int]]] = {
        "input_ids": [example.input_ids for example in examples],
        "labels": [example.labels for example in examples],
    }
    return Dataset.from_dict(columns)
