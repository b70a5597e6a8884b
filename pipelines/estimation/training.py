"""What the `train` stage of a run takes, by the arithmetic of `storm_core.finetuning`."""

from pipelines.estimation.assumptions import Estimated
from storm_core.finetuning.config import MOST_LOGITS
from storm_core.finetuning.memory import TrainingMemory, loading_bytes, training_memory


def memory_of_training(run: Estimated) -> TrainingMemory:
    """A batch of the longest examples that the recipe lets in, or of full packs; answers fill all of them."""
    values = run.values
    tokens = values["train_batch_size"] * values["train_max_length"]
    return training_memory(
        run.shapes,
        run.trained,
        batch_tokens=tokens,
        head_positions=min(tokens, MOST_LOGITS // run.shapes.vocabulary),
        # Where it is chosen by the hardware, the hardware is taken for a new one.
        in_bfloat16=values["train_dtype"] != "float32",
        recomputes_layers=values["train_gradient_checkpointing"],
    )


def host_of_training(run: Estimated, libraries: int) -> int:
    """On a CPU all that is trained with; with a GPU the weights in float32 on their way there."""
    loading = loading_bytes(run.count)
    return libraries + (loading if run.has_gpu("train") else max(loading, memory_of_training(run).total))
