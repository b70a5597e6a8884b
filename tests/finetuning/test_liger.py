"""Where kernels come from, and where Liger's are refused; what those compute, `liger_lane.py` checks."""

import re
from pathlib import Path

import pytest
import torch

from storm_core.errors import InputError
from storm_core.execution import execute
from storm_core.finetuning.config import TRAIN, TrainConfig
from storm_core.finetuning.liger import check_liger

ROOT = Path(__file__).parents[2]


def test_no_lock_has_the_package_by_which_transformers_takes_kernels_from_the_hub() -> None:
    locks = sorted((ROOT / "requirements").glob("*.txt"))
    assert locks
    assert [lock.name for lock in locks if re.search(r"^kernels==", lock.read_text(encoding="utf-8"), re.M)] == []


def test_liger_is_refused_on_a_cpu(tiny_llama: Path, tiny_scan: Path, selection: Path, tmp_path: Path) -> None:
    inputs = {"model": [str(tiny_llama)], "selection": [str(selection)], "scan": [str(tiny_scan)]}
    outputs = {name: tmp_path / name for name in TRAIN.outputs}
    with pytest.raises(InputError, match="kernels=liger is for NVIDIA's GPUs, and this is a CPU; set kernels=torch"):
        execute(TRAIN, TrainConfig(kernels="liger"), inputs, outputs, {})


def test_liger_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storm_core.finetuning.liger.resolve_device", lambda: torch.device("cuda"))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"needs liger-kernel and triton; install storm-kubeflow\[liger\]"):
        check_liger("llama")


def test_liger_and_compile_exclude_each_other() -> None:
    with pytest.raises(InputError, match="set compile=false or kernels=torch"):
        TrainConfig(compile=True, kernels="liger")
