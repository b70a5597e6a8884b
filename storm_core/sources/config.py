"""Options and declarations of `fetch` and `prepare`."""

from dataclasses import dataclass

from storm_core.config import StageConfig, option
from storm_core.stage import Input, Output, Stage


@dataclass(frozen=True, kw_only=True)
class FetchConfig(StageConfig):
    """Options of `storm fetch`."""

    dtype: str = option(
        "precision to store the dequantised tensors of a GGUF file in; a model directory keeps its own",
        "bfloat16",
        choices=("bfloat16", "float32"),
    )


@dataclass(frozen=True, kw_only=True)
class PrepareConfig(StageConfig):
    """Options of `storm prepare`."""

    sources: tuple[str, ...] = option(
        "data to learn from, each NAME=ADAPTER:PATH; NAME is used in every report, ADAPTER is messages, chatterbot or "
        "bfcl, PATH is relative to the data directory (bfcl: DIRECTORY#CATEGORY+CATEGORY)"
    )
    held_out: tuple[str, ...] = option(
        "evaluation data, each ADAPTER:PATH; examples that share a question or a tool with it are dropped", ()
    )
    max_rejected_fraction: float = option(
        "share of malformed rows in one source above which prepare stops", 0.0, unit="fraction", minimum=0, maximum=1
    )
    max_characters: int = option("longer examples are dropped", 200_000, unit="characters of text", minimum=1)
    max_examples_per_source: int = option(
        "larger sources are sampled down to this many", 10_000_000, unit="examples", minimum=1
    )
    # Every shard is an open file while the examples are dealt out.
    shards: int = option("files to spread the examples over", 8, unit="files", minimum=1, maximum=512)
    seed: int = option("seed of the sample that max_examples_per_source takes", 0, minimum=0)


FETCH = Stage(
    verb="fetch",
    summary="Turn a model directory or a GGUF file into a checkpoint that every stage reads.",
    config=FetchConfig,
    inputs={"source": Input(kind="model", help="model directory in the Hugging Face layout, or one .gguf file")},
    outputs={"model": Output(kind="model", help="checkpoint: safetensors, config, tokenizer with chat template")},
    run="storm_core.sources.fetch:run",
)

PREPARE = Stage(
    verb="prepare",
    summary="Turn data sources into examples without duplicates or evaluation questions, in shards.",
    config=PrepareConfig,
    inputs={"data": Input(kind="data", help="directory that holds every source")},
    outputs={"examples": Output(kind="examples", help="shards of examples, rejected rows, and the ledger of counts")},
    run="storm_core.sources.prepare:run",
    values={"shard_indices": "the list of shard numbers"},
)
