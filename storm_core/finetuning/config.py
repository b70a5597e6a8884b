"""The `train` stage: its options and what it reads and writes."""

from dataclasses import dataclass

from storm_core.chat_templates.date import date_option
from storm_core.config import StageConfig, option
from storm_core.errors import InputError
from storm_core.stage import Input, Output, Stage

DTYPES = ("auto", "bfloat16", "float32")
SHARDINGS = ("none", "full")
KERNELS = ("torch", "liger")
WEIGHTS_KEPT = ("last", "best")
SCHEDULES = ("cosine", "linear", "constant")
# Logits held at once: 1 GiB in float32, and the backward pass needs three; of 128,256 tokens 2,093 positions.
MOST_LOGITS = 1 << 28
# A file of a checkpoint is put together in memory before it is written, beside the copy of all that is in it.
CHECKPOINT_FILE_BYTES = 1 << 28


@dataclass(frozen=True, kw_only=True)
class TrainConfig(StageConfig):
    """Options of `storm train`. Four epochs are the article's; it gives none of the other numbers, so they are ours."""

    epochs: float = option("passes over the training examples; may be a fraction", 4.0, unit="epochs", minimum=0.001)
    learning_rate: float = option("peak learning rate of AdamW", 1e-5, minimum=1e-9, maximum=1.0)
    batch_size: int = option(
        "examples, or with packing packs, that a process takes at once", 4, unit="examples", minimum=1
    )
    gradient_accumulation_steps: int = option(
        "batches added up before each update, over all processes together: a multiple of their number",
        1,
        unit="batches",
        minimum=1,
    )
    max_length: int = option(
        "longest example trained on, and with packing a pack; longer ones are left out", 2048, unit="tokens", minimum=8
    )
    packing: bool = option(
        "join examples to packs of up to max_length, with attention inside each example, so that nothing is padded",
        False,
    )
    warmup_ratio: float = option("share of the updates in which the rate rises from 0", 0.03, minimum=0.0, maximum=0.9)
    learning_rate_schedule: str = option("how the rate falls after warm-up", "cosine", choices=SCHEDULES)
    weight_decay: float = option("AdamW's decoupled weight decay; norms and biases have none", 0.0, minimum=0.0)
    max_gradient_norm: float = option("gradients are scaled down to this norm", 1.0, minimum=0.0)
    gradient_checkpointing: bool = option("recompute activations to save memory; about a fifth slower", False)
    dtype: str = option(
        "precision to compute in, and to hold frozen matrices in; trained weights are held and updated in float32, and "
        "auto is bfloat16 where the hardware multiplies it",
        "auto",
        choices=DTYPES,
    )
    evaluations: int = option("validation passes spread over the run, besides the one before it", 4, minimum=1)
    weights_kept: str = option(
        "which weights become the model: those of the last update, or of the lowest validation loss",
        "last",
        choices=WEIGHTS_KEPT,
    )
    patience: int = option(
        "validation passes without a lower loss after which training ends; 0: it never does",
        0,
        unit="passes",
        minimum=0,
    )
    seed: int = option("order of the examples", 0, minimum=0)
    template_date: str = date_option()
    processes: int = option(
        "processes that train together, as torchrun starts them; 0: as many as it started",
        0,
        unit="processes",
        minimum=0,
        decides=False,
    )
    sharding: str = option(
        "what each of several processes holds: none, a copy of the model; full, a share of each weight (FSDP2)",
        "none",
        choices=SHARDINGS,
        decides=False,
    )
    compile: bool = option(
        "compile the model's layers (torch.compile), minutes in the first updates; it needs a compiler, g++ or "
        "on a GPU gcc",
        False,
        decides=False,
    )
    kernels: str = option(
        "what computes norms, rotations and gated activations: torch, or on a GPU liger, the kernels of liger-kernel",
        "torch",
        choices=KERNELS,
        decides=False,
    )
    checkpoint_minutes: float = option(
        "time between checkpoints at most, from which a killed run continues; they come sooner where writing them "
        "costs at most 2% of the time, and with SIGTERM; one is three times the trained weights in float32",
        120.0,
        unit="minutes",
        minimum=0.0,
        decides=False,
    )
    checkpoint_steps: int = option(
        "updates between checkpoints at most, whatever writing one costs; 0: time alone says when one is due",
        0,
        unit="updates",
        minimum=0,
        decides=False,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.compile and self.kernels != "torch":
            raise InputError("compile makes kernels of its own, from torch's; set compile=false or kernels=torch")


TRAIN = Stage(
    verb="train",
    summary="Fine-tune the modules that scan chose; the loss is on the assistant's tokens alone.",
    config=TrainConfig,
    inputs={
        "model": Input(kind="model", help="the model to train"),
        "selection": Input(kind="selection", help="train.parquet and validation.parquet"),
        "scan": Input(kind="scan", help="unfrozen_parameters.yaml, or any Spectrum YAML: the parameters to train"),
        "held_out": Input(
            kind="data",
            help="a directory of .txt files that are not trained on: their loss tells what training made it forget",
            optional=True,
            external=True,
        ),
    },
    outputs={
        "tuned_model": Output(kind="model", help="the trained model, in the dtype of the one given"),
        "training": Output(kind="training", help="loss history and the proof of what was frozen"),
    },
    run="storm_core.finetuning.stage:run",
    resumable=True,
    parallel=True,
)
