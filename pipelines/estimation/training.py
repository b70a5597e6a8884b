"""What the `train` stage of a run takes, process by process, by the arithmetic of `storm_core.finetuning`."""

from pipelines.estimation.assumptions import Estimated
from storm_core.checkpoints.checkpoint import SHARD_BYTES
from storm_core.finetuning.config import MOST_LOGITS
from storm_core.finetuning.memory import (
    BFLOAT16_BYTES,
    FLOAT32_BYTES,
    TrainingMemory,
    checkpoint_writing_bytes,
    loading_bytes,
    training_memory,
)


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
        shares=shares(run),
    )


def shares(run: Estimated) -> int:
    """Over how many processes each weight is spread; 1 where each holds a copy."""
    return run.processes if run.values["train_sharding"] == "full" else 1


def host_of_process(run: Estimated, libraries: int) -> int:
    """On a CPU all that is trained with, and the copy for a checkpoint; with a GPU what passes through the host."""
    # As in copies: each process copies all that it holds, and writes a part of it.
    checkpoint = checkpoint_writing_bytes(run.trained_count, shares(run))
    if not run.has_gpu("train"):
        return libraries + max(_loading(run), memory_of_training(run).total + checkpoint)
    return libraries + max(_loading(run), checkpoint, _handing_out(run))


def host_of_training(run: Estimated, libraries: int, torchrun: int) -> int:
    """Of a pod: its processes, and where they are several torchrun, which starts them."""
    count = run.processes_of_pod
    return count * host_of_process(run, libraries) + (torchrun if run.processes > 1 else 0)


def _loading(run: Estimated) -> int:
    """The whole model on its way; in shares one tensor, and on a CPU the share, which training holds anyway."""
    return loading_bytes(run.largest if shares(run) > 1 else run.count)


def _handing_out(run: Estimated) -> int:
    """What the main process holds of the model made: a file, and its largest tensor before and after it is cast."""
    return min(BFLOAT16_BYTES * run.count, SHARD_BYTES) + (2 * FLOAT32_BYTES + BFLOAT16_BYTES) * run.largest
