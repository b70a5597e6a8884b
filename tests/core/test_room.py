"""A model for which there is no room is refused before it is made, by what it will take."""

import re
from pathlib import Path

import pytest
from safetensors import safe_open

from storm_core.cli import main
from storm_core.stages import load_stage
from storm_core.stores.file_store import FileStore
from storm_core.stores.locations import FileLocation
from tests.stores.crashing import seal_tree

INPUTS = {"fetch": ["source"], "merge": ["base_model", "other_model"], "quantize": ["model"]}
SPARE_BYTES = 1000


@pytest.mark.parametrize("verb", INPUTS)
def test_stage_without_room_says_so_before_its_work(
    verb: str, tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (output,) = load_stage(verb).outputs
    command = [verb, *(f"--{name.replace('_', '-')}={tiny_llama}" for name in INPUTS[verb])]
    command.append(f"--{output.replace('_', '-')}={tmp_path / 'out'}")
    assert main(command) == 0
    capsys.readouterr()
    with safe_open(tmp_path / "out/model.safetensors", framework="pt") as file:
        weights = [file.get_tensor(name) for name in file.keys() if not name.endswith("_scale")]  # noqa: SIM118
    size = sum(weight.nbytes for weight in weights)

    monkeypatch.setattr("storm_core.machine_errors.free_bytes", lambda _: size - 1)
    assert main([*command, f"--rerun={verb}"]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    told = rf"storm {verb}: error: No space left on device for the \w*\s?model, .* are needed, and .* are free: "
    assert re.fullmatch(told + re.escape(str(tmp_path / "out")), error), error

    monkeypatch.setattr("storm_core.machine_errors.free_bytes", lambda _: size)
    assert main([*command, f"--rerun={verb}"]) == 0


def test_push_without_room_names_the_store_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_bytes(bytes(SPARE_BYTES))
    manifest = seal_tree(source)
    store = FileStore(FileLocation(path=tmp_path / "store"))
    monkeypatch.setattr("storm_core.machine_errors.free_bytes", lambda _: SPARE_BYTES - 1)
    with pytest.raises(OSError, match=rf"for the artifact, .*'{tmp_path}/store'"):
        store.publish_copy(source, manifest)
    assert list((tmp_path / "store/.staging").iterdir()) == []
    assert list(store.places()) == []
