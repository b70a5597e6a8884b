"""Tiny random models of the families that the recipe takes, each with a tokenizer and a chat template like its own."""

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig, PreTrainedTokenizerFast

from tests.conftest import CORPUS

CHATML = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nYou help.<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA3 = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n"
    "{{ m['content'] | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
# The system's words open the first question; answers are the model's.
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set opening = messages[0]['content'] + '\n\n' %}"
    "{% set turns = messages[1:] %}{% else %}{% set opening = '' %}{% set turns = messages %}{% endif %}"
    "{% for m in turns %}<start_of_turn>{{ 'model' if m['role'] == 'assistant' else 'user' }}\n"
    "{{ opening if loop.first }}{{ m['content'] | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
PHI = (
    "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set opening = messages[0]['content'] + '\n\n' %}"
    "{% set turns = messages[1:] %}{% else %}{% set opening = '' %}{% set turns = messages %}{% endif %}"
    "{% for m in turns %}{% if m['role'] == 'assistant' %}{{ m['content'] + eos_token }}{% else %}"
    "[INST] {{ opening if loop.first }}{{ m['content'] }} [/INST]{% endif %}{% endfor %}"
)
_QWEN_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA3_SCALING = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 256,
}
SIZES = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    # Large enough that positions and windows show in the logits of random weights.
    "initializer_range": 0.2,
}


@dataclass(frozen=True, kw_only=True)
class Family:
    """What makes a family.

    Attributes:
        control: spellings of its control tokens; the first begins a text, the second ends an answer, the third pads.
        settings: of its config, beside `SIZES`.
        adds_beginning: whether its tokenizer puts the first token before each text.
        since: the first version of transformers that knows the architecture.
    """

    model_type: str
    template: str
    control: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    byte_level: bool = True
    adds_beginning: bool = False
    since: str = "4.43"


_HEADERS = ("<|begin_of_text|>", "<|eot_id|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>")
_IM = ("<|endoftext|>", "<|im_end|>", "<|endoftext|>", "<|im_start|>")
_GEMMA_TOKENS = ("<bos>", "<end_of_turn>", "<pad>", "<start_of_turn>", "<eos>", "<unk>")
_PHI_TOKENS = ("<s>", "<|end|>", "<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>", "<unk>")
_QWEN = {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}}
_WINDOWED = {"head_dim": 32, "query_pre_attn_scalar": 32, "sliding_window": 32}
_LONG = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "short_factor": [1.0 + 0.02 * place for place in range(8)],
    "long_factor": [1.0 + 0.5 * place for place in range(8)],
}
FAMILIES: Mapping[str, Family] = {
    "Llama 3.1": Family(
        model_type="llama",
        template=LLAMA3,
        control=_HEADERS,
        settings={"rope_parameters": LLAMA3_SCALING},
        adds_beginning=True,
    ),
    "Llama 3.2": Family(
        model_type="llama",
        template=LLAMA3,
        control=_HEADERS,
        settings={"rope_parameters": {**LLAMA3_SCALING, "factor": 32.0}, "tie_word_embeddings": True},
        adds_beginning=True,
    ),
    "Qwen2": Family(model_type="qwen2", template=CHATML, control=_IM, settings=_QWEN),
    "Qwen2.5": Family(
        model_type="qwen2", template=CHATML, control=_IM, settings={**_QWEN, "tie_word_embeddings": True}
    ),
    "Qwen3": Family(
        model_type="qwen3",
        template=CHATML,
        control=_IM,
        settings={**_QWEN, "tie_word_embeddings": True, "head_dim": 32},
        since="4.57",
    ),
    "Gemma 2": Family(
        model_type="gemma2",
        template=GEMMA,
        control=_GEMMA_TOKENS,
        settings=_WINDOWED,
        byte_level=False,
        adds_beginning=True,
    ),
    "Gemma 3 (text)": Family(
        model_type="gemma3_text",
        template=GEMMA,
        control=_GEMMA_TOKENS,
        settings={
            **_WINDOWED,
            "num_hidden_layers": 6,
            "rope_parameters": {
                "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
                "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
            },
        },
        byte_level=False,
        adds_beginning=True,
        since="4.57",
    ),
    "Phi-3": Family(
        model_type="phi3",
        template=PHI,
        control=_PHI_TOKENS,
        settings={
            "rope_parameters": _LONG,
            "original_max_position_embeddings": 256,
            "num_key_value_heads": 4,
            "sliding_window": 1024,
        },
        byte_level=False,
    ),
    "Phi-4-mini": Family(
        model_type="phi3",
        template=PHI,
        control=_PHI_TOKENS,
        settings={
            "tie_word_embeddings": True,
            "rope_parameters": {
                **_LONG,
                "partial_rotary_factor": 0.75,
                "short_factor": [1.0] * 6,
                "long_factor": [1.0 + 0.5 * place for place in range(6)],
            },
            "original_max_position_embeddings": 256,
        },
        since="4.57",
    ),
    "Mistral": Family(
        model_type="mistral",
        template=MISTRAL,
        control=("<s>", "</s>", "<unk>"),
        settings={"sliding_window": 64, "head_dim": 32},
        byte_level=False,
        adds_beginning=True,
    ),
    "SmolLM2": Family(
        model_type="llama",
        template=CHATML,
        control=_IM,
        settings={"rope_parameters": {"rope_type": "default", "rope_theta": 1e5}, "tie_word_embeddings": True},
    ),
}


def make_family(name: str, directory: Path, *, seed: int = 0, **changes: Any) -> Path:
    """Save a random model of the family with its tokenizer; `changes` go into its config."""
    family = FAMILIES[name]
    tokenizer = make_tokenizer(family)
    beginning, end, padding = (tokenizer.convert_tokens_to_ids(token) for token in family.control[:3])
    ids = {"bos_token_id": beginning, "eos_token_id": end, "pad_token_id": padding}
    # A copy: transformers fills in what nested settings leave out.
    settings = copy.deepcopy({**SIZES, **family.settings, **ids, "vocab_size": len(tokenizer), **changes})
    torch.manual_seed(seed)
    config = AutoConfig.for_model(family.model_type, **settings)
    model: Any = AutoModelForCausalLM.from_config(config).to(torch.bfloat16)
    model.generation_config = GenerationConfig(**ids)
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def make_tokenizer(family: Family) -> PreTrainedTokenizerFast:
    """A BPE tokenizer, over bytes or as SentencePiece cuts text, that knows the family's control tokens."""
    tokenizer = _over_bytes(family) if family.byte_level else _as_sentencepiece(family)
    beginning, end, padding = family.control[:3]
    if family.adds_beginning:
        number = tokenizer.token_to_id(beginning)
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{beginning} $A", pair=f"{beginning} $A {beginning}:1 $B:1", special_tokens=[(beginning, number)]
        )
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=beginning, eos_token=end, pad_token=padding)
    wrapped.chat_template = family.template
    return wrapped


def _over_bytes(family: Family) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    # Digits one by one, as in Qwen's: transformers 5 cuts texts so for this architecture, whatever the file says.
    cut = pre_tokenizers.Split(Regex(_QWEN_WORDS), behavior="isolated")
    as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([cut, as_bytes])
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    _train(tokenizer, family, list(dict.fromkeys(family.control)), initial_alphabet=alphabet)
    return tokenizer


def _as_sentencepiece(family: Family) -> Tokenizer:
    trained = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    trained.normalizer = normalizers.Replace(" ", "\u2581")
    trained.pre_tokenizer = pre_tokenizers.Split("\u2581", "merged_with_next")
    control = list(dict.fromkeys(family.control))
    _train(trained, family, [*control, *(f"<0x{byte:02X}>" for byte in range(256))])
    model = json.loads(trained.to_str())["model"]
    # Made again, because bytes are no control tokens.
    merges = [tuple(merge) for merge in model["merges"]]
    bpe = models.BPE(vocab=model["vocab"], merges=merges, byte_fallback=True, unk_token="<unk>", fuse_unk=True)
    tokenizer = Tokenizer(bpe)
    tokenizer.normalizer, tokenizer.pre_tokenizer = trained.normalizer, trained.pre_tokenizer
    tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens(control)
    return tokenizer


def _train(tokenizer: Tokenizer, family: Family, special: list[str], **options: Any) -> None:
    trainer = trainers.BpeTrainer(vocab_size=560, special_tokens=special, show_progress=False, **options)
    tokenizer.train_from_iterator(CORPUS * 10, trainer)
