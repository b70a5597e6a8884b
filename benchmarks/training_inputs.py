"""What `training.py` trains and on what, made by a process of its own, which leaves a GPU as it found it.

    python benchmarks/training_inputs.py SETTINGS.json

Examples of different lengths whose every group fills one sequence: what is packed and what is padded is the same.
"""

import json
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
import yaml
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from storm_core.checkpoints.settings_files import read_model_config
from storm_core.checkpoints.shapes import ModelShapes, read_shapes
from storm_core.finetuning.model_flops import step_flops
from storm_core.finetuning.tokenization import IGNORED, TokenizedExample, tokenize
from storm_core.records import Example, Message, make_example, write_examples
from storm_core.spectrum.expected import expected_trained

# Shares of a sequence that the examples of a group have: tenfold between the shortest and the longest.
SHARES = (0.05, 0.1, 0.35, 0.5)
LLAMA_8B: dict[str, Any] = {
    "vocab_size": 128256,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "max_position_embeddings": 131072,
}
WORDS = (
    "the",
    "model",
    "learns",
    "to",
    "answer",
    "a",
    "question",
    "about",
    "what",
    "it",
    "has",
    "read",
    "then",
    "says",
)


def main() -> None:
    settings = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    work = Path(settings["work"])
    tokenizer = AutoTokenizer.from_pretrained(settings["model"], local_files_only=True)
    if settings["random_llama_8b"]:
        make_random_model(work / "model", tokenizer)
    examples = list(make_examples(tokenizer, settings["steps"] * settings["sequences"], settings["max_length"]))
    (work / "selection").mkdir()
    write_examples(work / "selection" / "train.parquet", examples)
    # A short one: validation is no part of what is measured.
    write_examples(work / "selection" / "validation.parquet", [conversation(["yes"], 0)])
    rows = [{"messages": [vars(message) for message in example.messages]} for example in examples]
    pq.write_table(pa.Table.from_pylist(rows), work / "messages.parquet")
    shapes = read_shapes(read_model_config(Path(settings["trained_model"])), settings["trained_model"])
    trained = {name: expected_trained(shapes, percent) for name, percent in settings["percents"].items()}
    for name, parameters in trained.items():
        write_scan(work / f"scan-{name}", parameters)
    made = figures(shapes, trained, [tokenize(example, tokenizer) for example in examples])
    Path(settings["result"]).write_text(json.dumps(made), encoding="utf-8")


def figures(shapes: ModelShapes, trained: dict[str, set[str]], examples: list[TokenizedExample]) -> dict[str, Any]:
    """Tokens and model FLOPs of a pass, of these with causal attention and with the whole square."""
    lengths = [len(example.input_ids) for example in examples]
    answers = sum(label != IGNORED for example in examples for label in example.labels)
    flops = {
        name: [
            step_flops(shapes, parameters, lengths=lengths, head_tokens=answers, is_causal=causal).executed
            for causal in (True, False)
        ]
        for name, parameters in trained.items()
    }
    return {"tokens": sum(lengths), "flops": flops}


def make_examples(tokenizer: PreTrainedTokenizerBase, groups: int, max_length: int) -> Iterator[Example]:
    """Groups of examples, each of which fills a sequence but for a few tokens."""
    number = 0
    for _ in range(groups):
        left = max_length
        for share in SHARES:
            # The chat template alone may be longer than the share; the last example takes what is left.
            example = example_of(tokenizer, left if share == SHARES[-1] else int(share * max_length), number)
            left -= len(tokenize(example, tokenizer).input_ids)
            number += 1
            yield example


def example_of(tokenizer: PreTrainedTokenizerBase, tokens: int, number: int) -> Example:
    """An example of so many tokens or few less; `number` makes it another than the rest."""
    chance = random.Random(number)  # noqa: S311
    words = [chance.choice(WORDS) for _ in range(tokens)]
    fits, too_many = 1, tokens
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        if len(tokenize(conversation(words[:middle], number), tokenizer).input_ids) <= tokens:
            fits = middle
        else:
            too_many = middle
    return conversation(words[:fits], number)


def conversation(words: list[str], number: int) -> Example:
    return make_example(
        "benchmark",
        [Message(role="user", content=f"{number}?"), Message(role="assistant", content=" ".join(words))],
    )


def write_scan(directory: Path, names: set[str]) -> None:
    """A scan that trains these parameters; which ones of a type does not matter to the time they take."""
    directory.mkdir()
    patterns = [f"^{re.escape(name)}$" for name in sorted(names)]
    (directory / "unfrozen_parameters.yaml").write_text(yaml.safe_dump({"unfrozen_parameters": patterns}))


def make_random_model(directory: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    """Llama-3.1-8B's shapes with random weights in bfloat16, and the tokenizer given, whose ids it has all."""
    config = LlamaConfig(**LLAMA_8B, pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id)
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        model: Any = LlamaForCausalLM(config)
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)


if __name__ == "__main__":
    main()
