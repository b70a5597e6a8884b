"""Checkpoints as partial results: whenever the process dies, the next one finds a whole checkpoint or none."""

from pathlib import Path

import pytest

from storm_core.finetuning.training_checkpoints import FILES, WEIGHTS_FILE, TrainingCheckpoints
from storm_core.stores.partial_results import DirectoryPartialResults


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


def saved(directory: Path, step: int) -> Path:
    """What the trainer would save after `step`."""
    directory.mkdir(parents=True)
    for name in FILES:
        (directory / name).write_text(f"{name} of step {step}")
    (directory / "training_args.bin").write_text("not wanted")
    return directory


def restored(partial_results: DirectoryPartialResults, directory: Path) -> int | None:
    step = TrainingCheckpoints(partial_results).restore(directory)
    if step is not None:
        assert {file.name: file.read_text() for file in directory.iterdir()} == {
            name: f"{name} of step {step}" for name in FILES
        }
    return step


def test_newest_checkpoint_comes_back_and_no_older_one_stays(tmp_path: Path) -> None:
    partial_results = DirectoryPartialResults(tmp_path / "parts")
    checkpoints = TrainingCheckpoints(partial_results)
    assert checkpoints.restore(tmp_path / "out") is None
    for step in (5, 40, 100):
        checkpoints.keep(saved(tmp_path / "scratch", step), step)
    assert not (tmp_path / "scratch").exists()
    assert len(partial_results.names()) == len(FILES) + 1
    assert restored(partial_results, tmp_path / "out") == 100


@pytest.mark.parametrize("changes", range(2 * (len(FILES) + 1)))
def test_killed_at_any_change_the_old_or_the_new_checkpoint_is_whole(changes: int, tmp_path: Path) -> None:
    partial_results = DirectoryPartialResults(tmp_path / "parts")
    TrainingCheckpoints(partial_results).keep(saved(tmp_path / "scratch", 5), 5)
    with pytest.raises(KeyboardInterrupt):
        TrainingCheckpoints(Dying(tmp_path / "parts", changes)).keep(saved(tmp_path / "scratch", 10), 10)
    assert restored(partial_results, tmp_path / "out") == (10 if changes > len(FILES) else 5)


@pytest.mark.parametrize("changes", range(2 * (len(FILES) + 1)))
def test_there_are_never_more_than_two_checkpoints_wherever_attempts_end(changes: int, tmp_path: Path) -> None:
    counting = Counting(tmp_path / "parts")
    TrainingCheckpoints(counting).keep(saved(tmp_path / "scratch", 5), 5)
    with pytest.raises(KeyboardInterrupt):
        TrainingCheckpoints(Dying(tmp_path / "parts", changes)).keep(saved(tmp_path / "scratch", 10), 10)
    checkpoints = TrainingCheckpoints(counting)
    assert checkpoints.restore(tmp_path / "out") in (5, 10)
    for step in (15, 20):
        checkpoints.keep(saved(tmp_path / "next", step), step)
    assert max(counting.counts) == 2


def test_half_and_altered_checkpoints_are_told_of_and_dropped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    partial_results = DirectoryPartialResults(tmp_path / "parts")
    TrainingCheckpoints(partial_results).keep(saved(tmp_path / "scratch", 5), 5)
    with pytest.raises(KeyboardInterrupt):
        TrainingCheckpoints(Dying(tmp_path / "parts", 3)).keep(saved(tmp_path / "half", 10), 10)
    (weights,) = (tmp_path / "parts").glob("step-00000005-*/model.safetensors.*")
    weights.write_bytes(b"altered")
    assert restored(partial_results, tmp_path / "out") is None
    assert not (tmp_path / "out").exists()
    lines = capsys.readouterr().err.splitlines()
    assert "train: the checkpoint of step 10 was never finished; it is ignored" in lines
    assert "train: the checkpoint of step 5 has no model.safetensors, or an altered one; it is ignored" in lines
    assert partial_results.names() == ()


def test_nothing_is_put_together_from_two_attempts_at_once(tmp_path: Path) -> None:
    partial_results = DirectoryPartialResults(tmp_path / "parts")
    TrainingCheckpoints(partial_results).keep(saved(tmp_path / "one", 10), 10)
    other = saved(tmp_path / "other", 10)
    (other / WEIGHTS_FILE).write_text("the weights of another attempt")
    with pytest.raises(KeyboardInterrupt):
        TrainingCheckpoints(Dying(tmp_path / "parts", 1)).keep(other, 10)
    assert restored(partial_results, tmp_path / "out") == 10
