"""Layers that are compiled: the same losses, one graph for all layers that train alike, and no silent way back."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch._dynamo.testing import CompileCounterWithBackend

from storm_core.checkpoints.loading import load_model
from storm_core.errors import InputError
from storm_core.execution import execute
from storm_core.finetuning import compilation
from storm_core.finetuning.answer_loss import AnswerLoss, attend_in_packs
from storm_core.finetuning.batches import BatchTensors, join, pad
from storm_core.finetuning.compilation import CompiledLoss
from storm_core.finetuning.config import TRAIN, TrainConfig
from storm_core.finetuning.tokenization import IGNORED, TokenizedExample
from storm_core.records import write_examples
from tests.finetuning.conftest import conversation, questions
from tests.finetuning.torchrun import train_together

# PyTorch looks at its own tensors.
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")

OPTIONS: dict[str, Any] = {
    "epochs": 1.0,
    "batch_size": 2,
    "gradient_accumulation_steps": 2,
    "learning_rate": 0.01,
    "warmup_ratio": 0.0,
    "evaluations": 1,
    "dtype": "float32",
}
PACKED: dict[str, Any] = {"packing": True, "max_length": 120}
CASES: dict[str, tuple[int, dict[str, Any]]] = {
    "padded": (1, {}),
    "packed_recomputed": (1, {"gradient_checkpointing": True, **PACKED}),
    "copies_packed": (2, PACKED),
    "shares_recomputed": (2, {"sharding": "full", "gradient_checkpointing": True}),
}


@pytest.fixture(scope="module")
def trained(tiny_llama: Path, tiny_scan: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The outputs of each case, compiled and not, by one process and by two."""
    root = tmp_path_factory.mktemp("compiled")
    uneven = [conversation(f"How easy is {n}?", f"{n} " * (40 if n % 2 else 4)) for n in range(9)]
    write_examples(root / "train.parquet", uneven)
    write_examples(root / "validation.parquet", questions(3))
    inputs = {"model": [str(tiny_llama)], "selection": [str(root)], "scan": [str(tiny_scan)]}
    for case, (_, options) in CASES.items():
        outputs = {name: root / "plain" / case / name for name in TRAIN.outputs}
        execute(TRAIN, TrainConfig(**OPTIONS, **options), inputs, outputs, {})
    for count in (1, 2):
        compiled = {
            root / "compiled" / case: {**OPTIONS, **options, "compile": True}
            for case, (processes, options) in CASES.items()
            if processes == count
        }
        train_together(count, inputs, compiled, root)
    return root


def losses(directory: Path) -> list[float]:
    content = json.loads((directory / "training/history.json").read_text())
    return [point["loss"] for name in ("train", "validation") for point in content[name]]


@pytest.mark.nightly
@pytest.mark.parametrize("case", CASES)
def test_losses_are_those_of_layers_that_are_not_compiled(case: str, trained: Path) -> None:
    compiled, plain = losses(trained / "compiled" / case), losses(trained / "plain" / case)
    assert compiled == pytest.approx(plain, abs=1e-5)


@pytest.mark.nightly
@pytest.mark.parametrize("case", CASES)
def test_frozen_weights_stay_bit_identical_and_trained_ones_move_alike(
    case: str, trained: Path, tiny_llama: Path
) -> None:
    before = load_file(tiny_llama / "model.safetensors")
    proof = json.loads((trained / "compiled" / case / "training/freezing.json").read_text())["tensors"]
    files = [trained / how / case / "tuned_model/model.safetensors" for how in ("compiled", "plain")]
    compiled, plain = map(load_file, files)
    for name, weight in before.items():
        assert compiled[name].equal(weight) != proof[name]["trained"], name
        assert compiled[name].float() == pytest.approx(plain[name].float(), rel=0.01, abs=1e-3)


def example(length: int) -> TokenizedExample:
    return TokenizedExample(input_ids=list(range(5, 5 + length)), labels=[IGNORED, *range(6, 5 + length)], id="a")


def batch(*lengths: int) -> BatchTensors:
    return pad([example(length) for length in lengths], padding=0)


def pack(*lengths: int) -> BatchTensors:
    return join([example(length) for length in lengths])


@pytest.fixture
def model(tiny_llama: Path) -> Any:
    """Both layers train the same of their weights."""
    model = load_model(tiny_llama, torch.float32)
    model.requires_grad_(False)
    model.get_input_embeddings().requires_grad_(True)
    for layer in model.model.layers:
        layer.mlp.up_proj.requires_grad_(True)
    return model.train()


@pytest.fixture
def graphs() -> Iterator[CompileCounterWithBackend]:
    """Counts the graphs that are made; they stay PyTorch's own operators, as what inductor writes takes longer."""
    counter = CompileCounterWithBackend("eager")
    torch.compiler.set_default_backend(counter)
    yield counter
    torch.compiler.set_default_backend(None)


def test_one_graph_serves_all_layers_that_train_alike_and_batches_of_any_size(
    model: Any, graphs: CompileCounterWithBackend
) -> None:
    loss = CompiledLoss(model, None)
    for one in (batch(9, 5), batch(17, 9, 11), batch(30, 8)):
        loss(one).backward()
    assert graphs.frame_count == 1
    model.model.layers[1].self_attn.q_proj.requires_grad_(True)
    loss(batch(9, 5)).backward()
    assert graphs.frame_count == 2


@pytest.mark.parametrize("recomputed", [False, True])
def test_packs_of_any_size_have_one_graph_and_the_losses_and_gradients_of_attention_one_by_one(
    recomputed: bool, model: Any, graphs: CompileCounterWithBackend
) -> None:
    attend_in_packs(model)
    if recomputed:
        model.activation_checkpointing_enable({"use_reentrant": False})
    packs = [pack(9, 5), pack(17, 9, 11), pack(30)]
    found = []
    for kind in (AnswerLoss, CompiledLoss):
        loss = kind(model, None)
        model.zero_grad()
        losses = [loss(one) for one in packs]
        torch.stack(losses).sum().backward()
        gradients = [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
        found.append((torch.stack(losses).detach(), gradients))
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-5)
    assert graphs.frame_count == 1


def test_validation_makes_no_graphs(model: Any, graphs: CompileCounterWithBackend) -> None:
    plain = AnswerLoss(model, None)(batch(9)).item()
    with torch.no_grad():
        assert CompiledLoss(model, None)(batch(9)).item() == plain
    assert graphs.frame_count == 0


def test_layer_that_is_no_whole_graph_is_refused(model: Any, graphs: CompileCounterWithBackend) -> None:
    model.model.layers[0].mlp.act_fn.register_forward_hook(lambda *_: torch._dynamo.graph_break())
    with pytest.raises(InputError, match=r"^the model's layers cannot be compiled: .*; set compile=false$"):
        CompiledLoss(model, None)(batch(9, 5))


def test_more_graphs_than_a_model_needs_are_refused(
    model: Any, graphs: CompileCounterWithBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compilation, "_GRAPHS", 1)
    loss = CompiledLoss(model, None)
    loss(batch(9, 5))
    loss(batch(9))
    model.model.layers[1].self_attn.q_proj.requires_grad_(True)
    with pytest.raises(InputError, match="cannot be compiled"):
        loss(batch(9, 5))


def test_machine_without_a_compiler_is_refused_before_anything_is_read(
    tiny_llama: Path, tiny_scan: Path, selection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = {"model": [str(tiny_llama)], "selection": [str(selection)], "scan": [str(tiny_scan)]}
    outputs = {name: tmp_path / name for name in TRAIN.outputs}
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match=r"compile needs .*; install one, or set compile=false"):
        execute(TRAIN, TrainConfig(compile=True), inputs, outputs, {})
