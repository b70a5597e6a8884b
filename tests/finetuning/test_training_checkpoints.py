"""Checkpoints as partial results: whenever the process dies, the next one finds a whole checkpoint or none."""

from pathlib import Path

import pytest

from storm_core.finetuning.training_checkpoints import COMPLETE, TrainingCheckpoints
from storm_core.stores.partial_results import DirectoryPartialResults

# Of two processes.
FILES = ("shard-00001-model-00001-of-00001.safetensors", "shard-00002-model-00001-of-00001.safetensors")


class Counting(DirectoryPartialResults):
    """Partial results that note how many checkpoints there are, whole or not, after each change."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.counts: list[int] = []

    def keep(self, name: str, source: Path) -> None:
        super().keep(name, source)
        self.counts.append(len({path.parent for path in self.root.glob("step-*/*") if path.is_file()}))


class Dying(DirectoryPartialResults):
    """Partial results of a process that is killed at its n-th change."""

    def __init__(self, root: Path, changes: int) -> None:
        super().__init__(root)
        self.changes = changes

    def keep(self, name: str, source: Path) -> None:
        self._live()
        super().keep(name, source)

    def drop(self, name: str) -> None:
        self._live()
        super().drop(name)

    def _live(self) -> None:
        if self.changes == 0:
            raise KeyboardInterrupt
        self.changes -= 1


def keep(partial_results: DirectoryPartialResults, directory: Path, step: int, text: str = "weights") -> None:
    """What two processes and the store do for the checkpoint of `step`."""
    checkpoints = TrainingCheckpoints(partial_results)
    names: list[str] = []
    for file in FILES:
        directory.mkdir(parents=True)
        (directory / file).write_text(f"{text} {file} of step {step}")
        names += checkpoints.keep_files(directory, step)
    checkpoints.complete(step, names, {"done": step}, directory.parent)
    checkpoints.drop_before(step)


def restored(partial_results: DirectoryPartialResults, directory: Path, text: str = "weights") -> int | None:
    directory.mkdir()
    checkpoints = TrainingCheckpoints(partial_results)
    while found := checkpoints.find(directory):
        folder, state = found
        fault = checkpoints.fetch(folder, directory / "files")
        if fault is None:
            step: int = state["done"]
            checkpoints.drop_before(step)
            assert {file.name: file.read_text() for file in (directory / "files").iterdir()} == {
                name: f"{text} {name} of step {step}" for name in FILES
            }
            return step
        checkpoints.refuse(folder, fault)
    return None


def test_newest_checkpoint_comes_back_and_no_older_one_stays(tmp_path: Path) -> None:
    partial_results = DirectoryPartialResults(tmp_path / "parts")
    assert restored(partial_results, tmp_path / "none") is None
    for step in (5, 40, 100):
        keep(partial_results, tmp_path / "scratch" / str(step), step)
    assert not list((tmp_path / "scratch").iterdir())
    assert len(partial_results.names()) == len(FILES) + 1
    assert restored(partial_results, tmp_path / "out") == 100


@pytest.mark.parametrize("changes", range(2 * (len(FILES) + 1)))
def test_killed_at_any_change_the_old_or_the_new_checkpoint_is_whole(changes: int, tmp_path: Path) -> None:
    partial_results = DirectoryPartialResults(tmp_path / "parts")
    keep(partial_results, tmp_path / "scratch" / "5", 5)
    with pytest.raises(KeyboardInterrupt):
        keep(Dying(tmp_path / "parts", changes), tmp_path / "scratch" / "10", 10)
    assert restored(partial_results, tmp_path / "out") == (10 if changes > len(FILES) else 5)


@pytest.mark.parametrize("changes", range(2 * (len(FILES) + 1)))
def test_there_are_never_more_than_two_checkpoints_wherever_attempts_end(changes: int, tmp_path: Path) -> None:
    counting = Counting(tmp_path / "parts")
    keep(counting, tmp_path / "scratch" / "5", 5)
    with pytest.raises(KeyboardInterrupt):
        keep(Dying(tmp_path / "parts", changes), tmp_path / "scratch" / "10", 10)
    assert restored(counting, tmp_path / "out") in (5, 10)
    for step in (15, 20):
        keep(counting, tmp_path / "next" / str(step), step)
    assert max(counting.counts) == 2


def test_half_and_altered_checkpoints_are_told_of_and_dropped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    partial_results = DirectoryPartialResults(tmp_path / "parts")
    keep(partial_results, tmp_path / "scratch" / "5", 5)
    with pytest.raises(KeyboardInterrupt):
        keep(Dying(tmp_path / "parts", 2), tmp_path / "half" / "10", 10)
    (weights,) = (tmp_path / "parts").glob(f"step-00000005-*/{FILES[0]}.*")
    weights.write_bytes(b"altered")
    assert restored(partial_results, tmp_path / "out") is None
    assert not (tmp_path / "out/files").exists()
    lines = capsys.readouterr().err.splitlines()
    assert "train: the checkpoint of step 10 was never finished; it is ignored" in lines
    assert f"train: the checkpoint of step 5 has no {FILES[0]}, or an altered one; it is ignored" in lines
    assert partial_results.names() == ()


@pytest.mark.parametrize("missing", [FILES[1], COMPLETE])
def test_checkpoint_without_a_file_of_some_process_is_none(missing: str, tmp_path: Path) -> None:
    partial_results = DirectoryPartialResults(tmp_path / "parts")
    keep(partial_results, tmp_path / "scratch" / "5", 5)
    (name,) = (name for name in partial_results.names() if name.endswith(missing))
    partial_results.drop(name)
    assert restored(partial_results, tmp_path / "out") is None


def test_nothing_is_put_together_from_two_attempts_at_once(tmp_path: Path) -> None:
    partial_results = DirectoryPartialResults(tmp_path / "parts")
    keep(partial_results, tmp_path / "one" / "10", 10)
    with pytest.raises(KeyboardInterrupt):
        keep(Dying(tmp_path / "parts", 1), tmp_path / "other" / "10", 10, "the weights of another attempt")
    assert restored(partial_results, tmp_path / "out") == 10
