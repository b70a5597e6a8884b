"""Greedy replies of a chat model to many prompts, in batches of similar length."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch

from storm_core.chat_templates.answer_tokens import AnswerTokens
from storm_core.chat_templates.chat_template import ChatTemplate
from storm_core.errors import InputError
from storm_core.evaluation.evaluation_cache import ReplyCache
from storm_core.progress import progress, report

if TYPE_CHECKING:
    from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

# Of contrastive search, DoLa, and beams in groups or under constraints.
_SEARCHES_OF_A_HUB = ("penalty_alpha", "dola_layers", "num_beam_groups", "constraints", "force_words_ids")


def greedy_replies(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    prompts: Sequence[str],
    *,
    batch_size: int,
    max_new_tokens: int,
    description: str,
    kept: ReplyCache,
) -> list[str | None]:
    """The reply to each prompt, in the order given; None where prompt and reply do not fit into the model's positions.

    A prompt is the text that a chat template made, control tokens included. A reply ends before the first end-of-turn
    token or after `max_new_tokens`. Batches that `kept` knows are not generated again.
    """
    tokens = [tokenizer(prompt, add_special_tokens=False)["input_ids"] for prompt in prompts]
    room = getattr(model.config, "max_position_embeddings", None)
    fitting = [i for i, ids in enumerate(tokens) if room is None or len(ids) + max_new_tokens <= room]
    # The longest first: a batch too large for the memory fails at once. Equal lengths keep their order.
    order = sorted(fitting, key=lambda index: -len(tokens[index]))
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    replies: list[str | None] = [None] * len(prompts)
    config = _greedy(model, tokenizer, max_new_tokens)
    for batch in progress(batches, total=len(batches), description=description, unit="batches"):
        asked = [tokens[index] for index in batch]
        found = kept.ask([max_new_tokens, asked], partial(_generate, model, tokenizer, asked, config))
        for index, reply in zip(batch, found, strict=True):
            replies[index] = reply
    kept.keep()
    return replies


def _greedy(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", max_new_tokens: int) -> "GenerationConfig":
    """Plain greedy search. What is named here overrides the model's own `generation_config.json`."""
    from transformers import GenerationConfig

    ends = stop_tokens(model, tokenizer)
    return GenerationConfig(  # type: ignore[no-untyped-call]
        do_sample=False,
        num_beams=1,
        temperature=1.0,
        top_p=1.0,
        top_k=50,
        repetition_penalty=1.0,
        max_new_tokens=max_new_tokens,
        eos_token_id=ends,
        pad_token_id=ends[0] if tokenizer.pad_token_id is None else tokenizer.pad_token_id,
    )


def stop_tokens(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> list[int]:
    """Token ids that end a turn: the model's (Llama 3.1 names three), the tokenizer's and the chat template's, sorted.

    Raises:
        InputError: none names one.
    """
    named = model.generation_config.eos_token_id if model.generation_config else None
    ends = set(named if isinstance(named, list) else [named]) | {tokenizer.eos_token_id}
    ends |= set(AnswerTokens(tokenizer, ChatTemplate(tokenizer)).ends)
    known = sorted(end for end in ends if end is not None)
    if not known:
        raise InputError(f"{model.name_or_path} has no eos_token_id, so that its replies would never end; set it")
    return known


def drop_searches_of_a_hub(model: "PreTrainedModel") -> None:
    """Take out of the model's generation config what transformers has no code of its own for; a line says so."""
    settings = model.generation_config
    asked = [name for name in _SEARCHES_OF_A_HUB if getattr(settings, name, None) is not None]
    for name in asked:
        setattr(settings, name, None)
    if asked:
        report(
            f"generation_config.json: {', '.join(asked)} would run code from a hub; greedy search is used", "warning"
        )


def _generate(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    prompts: list[list[int]],
    config: "GenerationConfig",
) -> list[str]:
    # B: prompts, P: longest prompt, padded on the left so that all replies start at the same place.
    length = max(len(ids) for ids in prompts)
    input_BP = torch.tensor([[config.pad_token_id] * (length - len(ids)) + ids for ids in prompts])
    mask_BP = torch.tensor([[0] * (length - len(ids)) + [1] * len(ids) for ids in prompts])
    with torch.inference_mode():
        output = model.generate(  # type: ignore[operator]
            input_ids=input_BP.to(model.device), attention_mask=mask_BP.to(model.device), generation_config=config
        )
    return [_text(tokenizer, ids, config.eos_token_id) for ids in output[:, length:].tolist()]


def _text(tokenizer: "PreTrainedTokenizerBase", ids: list[int], ends: list[int]) -> str:
    end = next((place for place, token in enumerate(ids) if token in ends), len(ids))
    # Special tokens stay: where <tool_call> is one, it is part of the answer.
    return str(tokenizer.decode(ids[:end], skip_special_tokens=False, clean_up_tokenization_spaces=False))
