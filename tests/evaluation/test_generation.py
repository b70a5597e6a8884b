"""Greedy generation in batches."""

import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch

from storm_core.checkpoints.loading import load_model, load_tokenizer
from storm_core.errors import InputError
from storm_core.evaluation.evaluation_cache import ReplyCache
from storm_core.evaluation.generation import drop_searches_of_a_hub, greedy_replies, stop_tokens
from storm_core.stores.partial_results import DirectoryPartialResults

PROMPTS = ["short", "The quick brown fox jumps over the lazy dog.", "How easy is it to learn?", "a b c d e f g h i j"]


@pytest.fixture
def model(tiny_llama: Path) -> Any:
    # float32: padding changes the last bits, and in bfloat16 those decide between tokens of a random model.
    loaded = load_model(tiny_llama, torch.float32)
    with torch.no_grad():
        for parameter in loaded.model.layers.parameters():
            parameter.mul_(20)  # As made, the layers do so little that the model repeats its last token for ever.
    return loaded


@pytest.fixture
def tokenizer(tiny_llama: Path) -> Any:
    return load_tokenizer(tiny_llama)


def replies(model: Any, tokenizer: Any, prompts: list[str], **changes: Any) -> list[str | None]:
    settings = {"batch_size": 3, "max_new_tokens": 12, "description": "test", **changes}
    with tempfile.TemporaryDirectory() as directory:
        kept = ReplyCache(DirectoryPartialResults(Path(directory)), "test")
        return greedy_replies(model, tokenizer, prompts, kept=kept, **settings)


def continuation(model: Any, tokenizer: Any, prompt: str, count: int) -> list[int]:
    """The `count` likeliest next tokens, one full forward pass each."""
    ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    start = len(ids)
    with torch.inference_mode():
        for _ in range(count):
            ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
    return list(ids[start:])


def test_a_batch_gives_what_each_prompt_gives_alone(model: Any, tokenizer: Any) -> None:
    alone = [replies(model, tokenizer, [prompt])[0] for prompt in PROMPTS]
    assert len(set(alone)) > 1
    assert replies(model, tokenizer, PROMPTS) == alone
    assert replies(model, tokenizer, PROMPTS[::-1], batch_size=2) == alone[::-1]


def test_a_reply_is_the_greedy_continuation(model: Any, tokenizer: Any) -> None:
    expected = tokenizer.decode(continuation(model, tokenizer, PROMPTS[1], 6))
    assert replies(model, tokenizer, [PROMPTS[1]], max_new_tokens=6) == [expected]


def test_a_reply_ends_before_an_end_of_turn_token(model: Any, tokenizer: Any) -> None:
    ids = continuation(model, tokenizer, PROMPTS[1], 12)
    place = next(place for place in range(1, 12) if ids[place] not in ids[:place])
    model.generation_config.eos_token_id = [tokenizer.eos_token_id, ids[place]]
    assert replies(model, tokenizer, [PROMPTS[1]]) == [tokenizer.decode(ids[:place])]


def test_the_models_own_sampling_settings_do_not_apply(model: Any, tokenizer: Any) -> None:
    expected = replies(model, tokenizer, PROMPTS)
    model.generation_config.update(do_sample=True, temperature=5.0, repetition_penalty=3.0, top_k=2, max_new_tokens=2)
    assert replies(model, tokenizer, PROMPTS) == expected


def test_a_prompt_without_room_for_a_reply_has_none(model: Any, tokenizer: Any) -> None:
    model.config.max_position_embeddings = 20
    long, short = replies(model, tokenizer, [PROMPTS[1] * 5, "short"])
    assert long is None
    assert short is not None


def test_a_tokenizer_without_padding_token_will_do(model: Any, tokenizer: Any) -> None:
    expected = replies(model, tokenizer, PROMPTS)
    tokenizer.pad_token = None
    assert replies(model, tokenizer, PROMPTS) == expected


def test_a_model_without_end_of_turn_is_refused(model: Any, tokenizer: Any) -> None:
    assert stop_tokens(model, tokenizer) == [tokenizer.eos_token_id]
    tokenizer.eos_token = None
    assert stop_tokens(model, tokenizer) == [tokenizer.convert_tokens_to_ids("<|im_end|>")]
    tokenizer.chat_template = "{{ messages[0]['content'] }}"
    model.generation_config.eos_token_id = None
    with pytest.raises(InputError, match="no eos_token_id"):
        stop_tokens(model, tokenizer)


@pytest.mark.parametrize(
    ("name", "value"),
    [("penalty_alpha", 0.6), ("dola_layers", "high"), ("num_beam_groups", 2), ("force_words_ids", [[5]])],
)
def test_a_search_that_needs_code_from_a_hub_is_greedy_and_said(
    model: Any, tokenizer: Any, capsys: pytest.CaptureFixture[str], name: str, value: object
) -> None:
    expected = replies(model, tokenizer, PROMPTS)
    setattr(model.generation_config, name, value)
    drop_searches_of_a_hub(model)
    assert replies(model, tokenizer, PROMPTS) == expected
    assert f"generation_config.json: {name} would run code from a hub; greedy search is used" in capsys.readouterr().err
