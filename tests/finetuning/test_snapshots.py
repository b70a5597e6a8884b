"""The files of a checkpoint: several, each put together in memory by itself."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from storm_core.finetuning import snapshots
from storm_core.process_group import group_of_one


def test_checkpoint_is_written_in_files_of_a_bounded_size_and_read_from_all_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "CHECKPOINT_FILE_BYTES", 4000)
    sizes = {"a": 500, "b": 400, "c": 2500, "d": 1, "e": 999}
    tensors = {name: torch.randn(size) for name, size in sizes.items()}
    with group_of_one():
        import torch.distributed as dist

        snapshots.begin_save(tensors, tmp_path / "saved", dist.new_group(backend="gloo")).result()
        found = {name: torch.zeros(size) for name, size in sizes.items()}
        snapshots.load(found, tmp_path / "saved")
    assert all(found[name].equal(tensor) for name, tensor in tensors.items())
    files = [set(load_file(file)) for file in sorted((tmp_path / "saved").iterdir())]
    # One is larger than a file may be, and alone in its own.
    assert files == [{"a", "b"}, {"c"}, {"d", "e"}]
