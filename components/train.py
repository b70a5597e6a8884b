"""Component `train`."""

from kfp import dsl

from components.command import storm
from components.images import TRAINING
from storm_core.finetuning.config import TrainConfig


@dsl.container_component
def train(
    model: dsl.Input[dsl.Model],
    selection: dsl.Input[dsl.Dataset],
    scan: dsl.Input[dsl.Artifact],
    tuned_model: dsl.Output[dsl.Model],
    training: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    epochs: float = TrainConfig.epochs,
    learning_rate: float = TrainConfig.learning_rate,
    batch_size: int = TrainConfig.batch_size,
    gradient_accumulation_steps: int = TrainConfig.gradient_accumulation_steps,
    max_length: int = TrainConfig.max_length,
    warmup_ratio: float = TrainConfig.warmup_ratio,
    learning_rate_schedule: str = TrainConfig.learning_rate_schedule,
    weight_decay: float = TrainConfig.weight_decay,
    max_gradient_norm: float = TrainConfig.max_gradient_norm,
    gradient_checkpointing: bool = TrainConfig.gradient_checkpointing,
    dtype: str = TrainConfig.dtype,
    evaluations: int = TrainConfig.evaluations,
    seed: int = TrainConfig.seed,
    checkpoint_minutes: float = TrainConfig.checkpoint_minutes,
) -> dsl.ContainerSpec:
    """Fine-tune the modules that scan chose; the loss is on the assistant's tokens alone."""
    return storm(
        "train",
        TRAINING,
        model=model.path,
        selection=selection.path,
        scan=scan.path,
        epochs=epochs,
        learning_rate=learning_rate,
        batch_size=batch_size,
        gradient_accumulation_steps=gradient_accumulation_steps,
        max_length=max_length,
        warmup_ratio=warmup_ratio,
        learning_rate_schedule=learning_rate_schedule,
        weight_decay=weight_decay,
        max_gradient_norm=max_gradient_norm,
        gradient_checkpointing=gradient_checkpointing,
        dtype=dtype,
        evaluations=evaluations,
        seed=seed,
        checkpoint_minutes=checkpoint_minutes,
        tuned_model=tuned_model.path,
        training=training.path,
    )
