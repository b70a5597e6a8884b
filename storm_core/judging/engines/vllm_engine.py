"""The judge in vLLM's offline engine, in this process: on a GPU, or on a CPU with its CPU build.

Each question is one generated token of which the log-probabilities are read. vLLM's prefix cache keeps what it computed
of the contexts, so the second question about a context costs little more than its own tokens. (It would not with
`prompt_logprobs`: for those vLLM passes by its cache.)

The numbers are exact: `logprob_token_ids` makes vLLM report the labels' tokens whatever their rank, and with
`raw_logprobs` they come from the softmax over the whole vocabulary, before anything that sampling does.
"""

import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from storm_core.checkpoints.checkpoint import Checkpoint
from storm_core.checkpoints.loading_directory import is_plain, linked_alone
from storm_core.checkpoints.wrapper_names import check_unwrapped
from storm_core.errors import InputError
from storm_core.judging.engines.answers import make_answer
from storm_core.judging.engines.interface import Answer
from storm_core.judging.wording.prompts import Context, Question
from storm_core.telemetry import NO_TELEMETRY

if TYPE_CHECKING:
    from vllm import LLM

_CPU_BLOCK_TOKENS = 32
_ROOM_STEP_TOKENS = 2048
# The least that is reserved for keys and values.
_CPU_CACHE_BYTES = 256 << 20
# In this process: scheduling is then the same each time, and a killed run leaves no process that holds a GPU.
_ENVIRONMENT = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_LOGGING_LEVEL": "WARNING", **NO_TELEMETRY}


class VllmEngine:
    """Answers by the first token that vLLM would generate."""

    pads = False

    def __init__(self, llm: "LLM", window: int | None, room: int | None) -> None:
        self.window = window
        self.room = room
        self.llm = llm

    def read(self, contexts: Sequence[Context]) -> "PrefixReading":
        """Nothing is computed yet; the first question reads the contexts."""
        # What is cached must not depend on earlier batches, or a run that continues after a kill would round otherwise.
        self.llm.reset_prefix_cache()
        return PrefixReading(llm=self.llm, contexts=tuple(contexts))


@dataclass(frozen=True, kw_only=True)
class PrefixReading:
    """Contexts that start the prompts of every question."""

    llm: "LLM"
    contexts: tuple[Context, ...]

    def keep(self, rows: Sequence[int]) -> "PrefixReading":
        """The same reading for these rows alone."""
        return PrefixReading(llm=self.llm, contexts=tuple(self.contexts[row] for row in rows))

    def ask(self, question: Question) -> list[Answer]:
        """One generated token for each context; token ids go in, never text."""
        from vllm import SamplingParams

        parameters = SamplingParams(
            max_tokens=1,
            temperature=0.0,
            detokenize=False,
            logprob_token_ids=list(question.label_ids),
        )
        prompts: list[Any] = [{"prompt_token_ids": [*context.ids, *question.ids]} for context in self.contexts]
        outputs = self.llm.generate(prompts, parameters, use_tqdm=False)
        return [_answer(output, question) for output in outputs]


def open_vllm_engine(checkpoint: Checkpoint, dtype: torch.dtype, *, longest_prompt: int, batch_size: int) -> VllmEngine:
    """Start vLLM with the model of `checkpoint`.

    Args:
        checkpoint: a model directory, opened.
        dtype: to compute in.
        longest_prompt: tokens that context and question have at most; room is made for no more.
        batch_size: prompts that are computed at the same time, at most.

    Raises:
        InputError: vLLM is not installed, or the tensors are stored under names that it cannot read.
    """
    os.environ.update({name: os.environ.get(name, value) for name, value in _ENVIRONMENT.items()})
    try:
        from vllm import LLM
    except ModuleNotFoundError as error:
        raise InputError(
            f"engine vllm needs the package {error.name}; install storm-kubeflow[vllm], or set engine transformers"
        ) from error
    check_unwrapped(str(checkpoint.path), [info.stored_as for info in checkpoint.tensors.values()])
    config = checkpoint.config
    limit = config.get("max_position_embeddings")
    # One token more, the generated one.
    length = min(longest_prompt + 1, limit or longest_prompt + 1)
    on_gpu = torch.cuda.is_available()
    # vLLM finds what it compiled before by where the model lies, so its own directory is given if it can be.
    with nullcontext(checkpoint.path) if is_plain(checkpoint) else linked_alone(checkpoint) as directory:
        llm = LLM(
            model=str(directory),
            trust_remote_code=False,
            load_format="safetensors",
            dtype=str(dtype).removeprefix("torch."),
            max_model_len=length,
            max_num_seqs=batch_size,
            enable_prefix_caching=True,
            **({} if on_gpu else _cpu_options(config, dtype, tokens=batch_size * length)),
            logprobs_mode="raw_logprobs",
            seed=0,
        )
    return VllmEngine(llm, length - 1, _cache_tokens(llm, batch_size))


def _cache_tokens(llm: "LLM", batch_size: int) -> int | None:
    """Tokens of a batch's prompts that the cache surely holds at once; None where vLLM does not say."""
    cache = llm.llm_engine.vllm_config.cache_config
    if not cache.num_gpu_blocks:
        return None
    # The last block of each prompt is never full; and vLLM keeps one block for itself.
    tokens: int = max(1, cache.num_gpu_blocks - batch_size - 1) * cache.block_size
    # How much memory is free differs a little from one start to the next. The batches should not, nor their rounding.
    return tokens // _ROOM_STEP_TOKENS * _ROOM_STEP_TOKENS or tokens


def _cpu_options(config: Mapping[str, Any], dtype: torch.dtype, *, tokens: int) -> dict[str, Any]:
    """What the CPU build is told: memory for the keys and values of so many tokens, and how they are laid out.

    By itself it takes nearly all of the machine's memory for them, and refuses to start where that is not free.
    """
    # A block of the cache is reused when it is whole. The CPU build's own 128 would throw away most of a short example;
    # 32 is the least that it takes.
    options = {"block_size": _CPU_BLOCK_TOKENS, "enforce_eager": True}
    if not {"num_hidden_layers", "num_attention_heads", "hidden_size"} <= config.keys():
        return options
    heads = config["num_attention_heads"]
    head_dim = config.get("head_dim") or config["hidden_size"] // heads
    values_per_token = 2 * config["num_hidden_layers"] * (config.get("num_key_value_heads") or heads) * head_dim
    # Twice, as the last block of each prompt is never full, and some are taken before others are given back.
    return {**options, "kv_cache_memory_bytes": max(_CPU_CACHE_BYTES, 2 * tokens * values_per_token * dtype.itemsize)}


def _answer(output: Any, question: Question) -> Answer:
    (reported,) = output.outputs[0].logprobs
    return make_answer([reported[token].logprob for token in question.label_ids])
