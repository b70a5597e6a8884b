"""Which changes of the code leave the checkpoints of an unfinished training valid: they lie under the run's key."""

import random
import signal
from pathlib import Path

import pytest

from storm_core import __version__
from tests.finetuning.test_training_killed import Training, resumed_from
from tests.package_copy import PackageCopy

REPORT = ("reporting/page.py", "{value:.2f}", "{value:.3f}")
LOSS = ("finetuning/answer_loss.py", 'reduction="sum"', 'reduction="mean"')
RELEASE = ("__init__.py", __version__, "99.0.0")


@pytest.fixture
def copy(tmp_path: Path) -> PackageCopy:
    return PackageCopy(tmp_path / "copy")


def test_edit_of_the_report_leaves_checkpoints_valid(copy: PackageCopy) -> None:
    before = copy.keys()
    copy.edit(*REPORT)
    assert copy.changed(before) == {"report"}


def test_edit_of_the_loss_does_not(copy: PackageCopy) -> None:
    before = copy.keys()
    copy.edit(*LOSS)
    assert copy.changed(before) == {"train"}


def test_import_inside_a_function_does_not_nor_does_an_edit_of_what_it_imports(copy: PackageCopy) -> None:
    before = copy.keys()
    call = "freezing = _prove("
    copy.edit("finetuning/stage.py", call, f"from storm_core.merging import slerp\n    assert slerp\n    {call}")
    importing = copy.keys()
    assert copy.changed(before) == {"train"}
    copy.append("merging/slerp.py", "# changed\n")
    assert copy.changed(importing) == {"train", "merge"}


@pytest.mark.nightly
def test_stopped_training_continues_after_a_release_with_another_report_and_begins_anew_with_another_loss(
    copy: PackageCopy,
    tiny_llama: Path,
    selection: Path,
    tiny_scan: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in copy.environment().items():
        monkeypatch.setenv(name, value)
    inputs = [f"--model={tiny_llama}", f"--selection={selection}", f"--scan={tiny_scan}"]
    training = Training(inputs, tmp_path / "outputs", {"STORM_STORE": (tmp_path / "store").as_uri()})
    generator = random.Random()  # noqa: S311 (not a secret)

    training.stop_midway(signal.SIGTERM, generator)
    done = training.updates()
    assert done > 0
    copy.edit(*REPORT)
    copy.edit(*RELEASE)
    _, errors = training.stop_midway(signal.SIGTERM, generator)
    assert resumed_from(errors) == done

    copy.edit(*LOSS)
    _, errors = training.finish()
    assert "continues after step" not in errors
