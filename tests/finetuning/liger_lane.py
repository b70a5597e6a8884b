"""Liger's kernels against PyTorch's, without a GPU: Triton's interpreter runs them.

Triton takes 700 MB, so a plain `pytest` does not collect this file; `make test-liger` does. The interpreter does no
arithmetic in bfloat16: what is mixed with float32 is checked in float16, and no speed.
"""

import socket
from pathlib import Path
from typing import Any, NoReturn

import liger_kernel.ops.rms_norm
import numpy as np
import pytest
import torch
import triton.language as tl
from torch import Tensor
from triton.runtime import interpreter

from storm_core.checkpoints.loading import load_model
from storm_core.errors import InputError
from storm_core.finetuning.answer_loss import AnswerLoss, attend_in_packs
from storm_core.finetuning.batches import join, pad
from storm_core.finetuning.liger import check_liger, use_liger
from storm_core.finetuning.tokenization import IGNORED, TokenizedExample

EXAMPLES = [
    TokenizedExample(input_ids=[5, 6, 7, 8, 9], labels=[IGNORED, IGNORED, 7, 8, 9], id="a"),
    TokenizedExample(input_ids=[20, *range(40, 52)], labels=[IGNORED, *range(40, 52)], id="b"),
]


@pytest.fixture(autouse=True)
def interpreted_as_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter leaves floats bare that the compiler makes tensors of, and has no function of CUDA's library."""
    convert = interpreter._implicit_cvt

    def converted(argument: Any) -> Any:
        if isinstance(argument, float):
            return tl.tensor(interpreter.TensorHandle(np.array([argument], dtype=np.float32), tl.float32), tl.float32)
        return convert(argument)

    monkeypatch.setattr(interpreter, "_implicit_cvt", converted)
    # A function of its own, as the interpreter exchanges what `tl` holds while a kernel runs.
    monkeypatch.setattr(liger_kernel.ops.rms_norm, "rsqrt", lambda square: tl.rsqrt(square))  # noqa: PLW0108


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> NoReturn:
        raise AssertionError("a kernel is to come from a wheel, never over the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def half_frozen(directory: Path) -> Any:
    model = load_model(directory, torch.float32)
    model.requires_grad_(False)
    first, second = model.model.layers
    for part in (model.get_input_embeddings(), first.mlp, second.self_attn.q_proj, second.input_layernorm):
        part.requires_grad_(True)
    return model.train()


def loss_and_gradients(model: Any, packing: bool, autocast: torch.dtype | None) -> tuple[Tensor, dict[str, Tensor]]:
    if packing:
        attend_in_packs(model)
    loss = AnswerLoss(model, autocast)(join(EXAMPLES) if packing else pad(EXAMPLES, padding=0))
    loss.backward()
    gradients = {name: one.grad for name, one in model.named_parameters() if one.grad is not None}
    return loss.detach(), gradients


@pytest.mark.parametrize("recomputed", [False, True])
@pytest.mark.parametrize("packing", [False, True])
@pytest.mark.parametrize(("autocast", "tolerance"), [(None, 1e-5), (torch.float16, 5e-3)])
def test_losses_and_gradients_are_those_of_torch(
    autocast: torch.dtype | None, tolerance: float, packing: bool, recomputed: bool, tiny_llama: Path
) -> None:
    from transformers.models.llama import modeling_llama

    models = [half_frozen(tiny_llama) for _ in range(2)]
    if recomputed:
        for model in models:
            model.activation_checkpointing_enable({"use_reentrant": False})
    expected, gradients = loss_and_gradients(models[0], packing, autocast)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("apply_rotary_pos_emb", "LlamaRMSNorm", "LlamaMLP"):
            patch.setattr(modeling_llama, name, getattr(modeling_llama, name))
        use_liger(models[1])
        exchanged = {module._get_name() for module in models[1].modules()}
        assert {"LigerRMSNorm", "LigerSwiGLUMLP"} <= exchanged
        assert modeling_llama.apply_rotary_pos_emb.__module__.startswith("liger_kernel")
        found, of_liger = loss_and_gradients(models[1], packing, autocast)
    assert found.item() == pytest.approx(expected.item(), rel=tolerance)
    assert of_liger.keys() == gradients.keys()
    for name, gradient in gradients.items():
        assert (of_liger[name] - gradient).abs().max() <= tolerance * gradient.abs().max(), name


def test_family_without_kernels_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storm_core.finetuning.liger.resolve_device", lambda: torch.device("cuda"))
    check_liger("llama")
    with pytest.raises(InputError, match="no kernels for models of the type 'gpt2'; set kernels=torch"):
        check_liger("gpt2")
