"""The stage `prepare`: its options, inputs and outputs."""

from dataclasses import dataclass

from storm_core.config import StageConfig, option
from storm_core.stage import Input, Output, Stage, Value


@dataclass(frozen=True, kw_only=True)
class PrepareConfig(StageConfig):
    """Options of `storm prepare`."""

    sources: tuple[str, ...] = option(
        "data to learn from, each NAME=ADAPTER:PATH. NAME is used in every report. ADAPTER is messages (the columns "
        "tell the shape), openai, sharegpt, preference, completion, xlam, glaive or instruction (only that shape), "
        "chatterbot or bfcl. PATH is a "
        "file or directory relative to the data directory, or the URI of a data set (hf://datasets/ORG/NAME@COMMIT); "
        "#SPLIT may follow (bfcl: #CATEGORY+CATEGORY)"
    )
    held_out: tuple[str, ...] = option(
        "evaluation data, each ADAPTER:PATH, or lm_eval:TASK; examples that share a question, a tool or a run of words "
        "with it are dropped",
        (),
    )
    held_out_suites: tuple[str, ...] = option(
        "suites of storm evaluate; every evaluation set of theirs is held out", ()
    )
    contamination_words: int = option(
        "run of words that an example must not share with an evaluation; 13 as GPT-3 (shorter items, down to 8 words, "
        "count as a whole)",
        13,
        unit="words",
        minimum=8,
        maximum=100,
    )
    drop_near_duplicates: bool = option("whether examples that nearly repeat another one are dropped", True)
    near_duplicate_threshold: float = option(
        "Jaccard similarity from which two examples are near duplicates; 0.8 as MassiveText and NeMo Curator",
        0.8,
        minimum=0.5,
        maximum=0.95,
    )
    near_duplicate_shingle_words: int = option(
        "words in a shingle, the unit of that similarity; 5 as FineWeb", 5, unit="words", minimum=1, maximum=50
    )
    near_duplicate_permutations: int = option(
        "entries of a MinHash signature; 128 estimate a similarity of 0.8 to 0.035", 128, minimum=64, maximum=1024
    )
    max_rejected_fraction: float = option(
        "share of malformed rows in one source above which prepare stops", 0.0, unit="fraction", minimum=0, maximum=1
    )
    max_characters: int = option("longer examples are dropped", 200_000, unit="characters of text", minimum=1)
    max_examples_per_source: int = option(
        "larger sources are sampled down to this many", 10_000_000, unit="examples", minimum=1
    )
    # Every shard is at least one open file while the examples are dealt out.
    shards: int = option("files to spread the examples over", 8, unit="files", minimum=1, maximum=512)
    seed: int = option("seed of the sample that max_examples_per_source takes", 0, minimum=0)


PREPARE = Stage(
    verb="prepare",
    summary="Turn data sources into examples without near duplicates or evaluation text, in shards.",
    config=PrepareConfig,
    inputs={"data": Input(kind="data", help="directory that holds the sources and the evaluation data", external=True)},
    outputs={
        "examples": Output(
            kind="examples", help="shards of examples, rejected rows, what overlaps what, and the ledger of counts"
        )
    },
    run="storm_core.sources.stage:run",
    values={"shard_indices": Value(type=list[int], help="the list of shard numbers")},
)
