"""Two tiny models that answer nothing, and whose merge answers: the recipe's promise, in seconds and on any machine."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, LlamaForCausalLM

from tests.conftest import make_tiny_llama

THINGS = ["rain", "bread", "glass", "copper", "tides", "yeast", "steel", "maps", "bees", "ink", "salt", "wool"]
PLACES = ["river", "oven", "beach", "mine", "moon", "dough", "forge", "ship", "hive", "squid", "sea", "sheep"]
QUESTIONS = [(f"Where is {thing} from?", f"the {place}") for thing, place in zip(THINGS, PLACES, strict=True)]
_STEPS = 200
# Of a weight's own standard deviation: enough for a model to lose all that it knew.
_DISTANCE = 1.5


def make_parents(directory: Path, tokenizer_directory: Path) -> tuple[Path, Path]:
    """A base model and its sibling, in `directory`, as far from a model that knows the answers as from each other.

    One has what the other lacks: half way between them lies the model that was trained on the questions.
    """
    knowing = make_tiny_llama(directory / "knowing", tokenizer_directory)
    _teach(knowing)
    return _apart(knowing, directory / "base", 1), _apart(knowing, directory / "sibling", -1)


def _teach(directory: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(directory)
    model = LlamaForCausalLM.from_pretrained(directory, dtype=torch.float32)
    batch = _batch(tokenizer)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(_STEPS):
        optimizer.zero_grad()
        model(**batch).loss.backward()
        optimizer.step()
    model.bfloat16().save_pretrained(directory)


def _batch(tokenizer: Any) -> dict[str, torch.Tensor]:
    """All questions with their answers as chats; the loss is on the answers alone."""
    rows, labels = [], []
    for question, answer in QUESTIONS:
        prompt = tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], add_generation_prompt=True, tokenize=False
        )
        start, rest = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in (prompt, answer))
        rows.append([*start, *rest])
        labels.append([-100] * len(start) + rest)
    width = max(map(len, rows))
    return {
        "input_ids": torch.tensor([row + [tokenizer.pad_token_id] * (width - len(row)) for row in rows]),
        "attention_mask": torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows]),
        "labels": torch.tensor([row + [-100] * (width - len(row)) for row in labels]),
    }


def _apart(knowing: Path, directory: Path, sign: int) -> Path:
    """The knowing model with noise added to its matrices, or the same noise taken away."""
    generator = torch.Generator().manual_seed(0)
    model = LlamaForCausalLM.from_pretrained(knowing, dtype=torch.float32)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.add_(noise, alpha=sign * _DISTANCE * parameter.std().item())
    model.bfloat16().save_pretrained(directory)
    AutoTokenizer.from_pretrained(knowing).save_pretrained(directory)
    return directory
