"""Shared parts of the tests: a tiny random Llama with a tokenizer and a chat template of its own."""

import importlib.util
import os
import re
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

# Nothing may reach for a hub, and two cores are shared by everything that runs here.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import pytest
from hypothesis import settings

from storm_core.telemetry import disable_telemetry

disable_telemetry()

# What a shell starts in the background ignores Ctrl-C, and so would every program that a test interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says nothing on a machine that does other things too.
settings.register_profile("storm", deadline=None)
settings.load_profile("storm")

# What a developer, or another test, may have told a stage of stores and MLflow servers.
OUTSIDE_SETTINGS = (
    *("STORM_STORE", "STORM_PARENT_RUN_ID", "STORM_KFP_", "KFP_MLFLOW_CONFIG"),
    *("MLFLOW_TRACKING_", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_", "MLFLOW_HTTP_"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest first: those with most slow tests, then those with most tests.

    A file is done by one process, and the last one to begin should not be one that the others wait for.
    """
    tests = Counter(item.path for item in items)
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: (-slow[item.path], -tests[item.path], item.path))


CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CORPUS = [
    "The quick brown fox jumps over the lazy dog. How easy, medium or hard is it to learn from this example?",
    "Rate the educational value from 1 to 5. Answer 1, 2, 3, 4 or 5. system user assistant tool",
    '<tool_call>{"tool_name": "get_weather", "tool_arguments": {"city": "Paris"}}</tool_call>',
]


@pytest.fixture(scope="session", autouse=True)
def names_of_callers_are_found_quickly() -> Iterator[None]:
    """kfp looks through the whole call stack, with sources, whenever a task is told something.

    Under pytest that takes a tenth of a second, and a compiled pipeline tells its tasks a hundred things.
    """
    if not importlib.util.find_spec("kfp"):  # vLLM's environment has none.
        yield
        return
    from kfp.dsl import pipeline_task

    def stack() -> list[tuple[None, None, None, str]]:
        return [(None, None, None, sys._getframe(depth).f_code.co_name) for depth in (1, 2)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline_task, "inspect", SimpleNamespace(stack=stack))
        yield


@pytest.fixture(autouse=True)
def no_outside_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own store or MLflow server never takes part in a test."""
    for name in [name for name in os.environ if name.startswith(OUTSIDE_SETTINGS)]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def tiny_tokenizer_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A byte-level BPE tokenizer with ChatML control tokens, saved."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS * 10, trainer)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>", bos_token="<|im_start|>"
    )
    wrapped.chat_template = CHAT_TEMPLATE
    directory = tmp_path_factory.mktemp("tokenizer")
    wrapped.save_pretrained(directory)
    return directory


def make_tiny_llama(directory: Path, tokenizer_directory: Path, *, seed: int = 0, hidden_size: int = 64) -> Path:
    """Save a random two-layer Llama in bfloat16 with its tokenizer into `directory`."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_directory)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        intermediate_size=2 * hidden_size,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model: Any = LlamaForCausalLM(config)
    model.to(torch.bfloat16)
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer_directory: Path) -> Path:
    """A model directory: random two-layer Llama, hidden size 64, bfloat16, tied embeddings. Read only."""
    return make_tiny_llama(tmp_path_factory.mktemp("tiny_llama"), tiny_tokenizer_directory)


@pytest.fixture(scope="session")
def other_tiny_llama(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer_directory: Path) -> Path:
    """Another random model of the same shapes. Read only."""
    return make_tiny_llama(tmp_path_factory.mktemp("other_tiny_llama"), tiny_tokenizer_directory, seed=1)


def complaints(error_output: str) -> list[str]:
    """The lines of a command's standard error but those that say on what a stage starts."""
    return [line for line in error_output.splitlines() if not re.search(r": starts(  |$)", line)]
