"""A resumable stage: what an attempt that failed has kept, the next one finds; a finished run leaves nothing of it."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from storm_core.config import StageConfig, option
from storm_core.execution import Outcome, execute
from storm_core.stage import Input, Inputs, Output, Results, Stage
from storm_core.stores.partial_results import DirectoryPartialResults
from storm_core.stores.references import open_reference
from storm_core.workspace import Workspace

WORK: list[str] = []
FAIL_AT: list[str] = []


@dataclass(frozen=True, kw_only=True)
class ShoutConfig(StageConfig):
    suffix: str = option("what to append", "!")


def run_shout(config: ShoutConfig, inputs: Inputs, outputs: Mapping[str, Path], workspace: Workspace) -> Results:
    """Shout each word, keeping each as a part, then write all of them."""
    partial_results = workspace.of_run()
    shouted = []
    for word in inputs["text"].file("text.txt").read_text().split():
        part = outputs["shout"] / f".{word}"
        if not partial_results.fetch(f"words/{word}", part):
            WORK.append(word)
            part.write_text(word.upper() + config.suffix)
            if word in FAIL_AT:
                raise RuntimeError("killed")
            partial_results.keep(f"words/{word}", part)
        shouted.append(part.read_text())
    (outputs["shout"] / "shout.txt").write_text(" ".join(shouted))
    return Results()


SHOUT = Stage(
    verb="shout",
    summary="Shout a text.",
    config=ShoutConfig,
    inputs={"text": Input(kind="text", help="what to shout")},
    outputs={"shout": Output(kind="text", help="the shout")},
    run="storm_test_shout:run_shout",
    resumable=True,
)


@pytest.fixture(autouse=True)
def stage_module(monkeypatch: pytest.MonkeyPatch) -> None:
    WORK.clear()
    FAIL_AT.clear()
    monkeypatch.setitem(sys.modules, "storm_test_shout", sys.modules[__name__])


@pytest.fixture(params=["without a store", "with a store"])
def hidden(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory below which partial results lie, with and without `STORM_STORE`."""
    if request.param == "without a store":
        return tmp_path / ".shout.parts"
    monkeypatch.setenv("STORM_STORE", (tmp_path / "store").as_uri())
    return tmp_path / "store" / ".parts"


@pytest.fixture
def text(tmp_path: Path) -> Path:
    directory = tmp_path / "text"
    directory.mkdir()
    (directory / "text.txt").write_text("one two three")
    return directory


def shout(text: Path, suffix: str = "!") -> Outcome:
    outputs = {"shout": text.parent / "out"}
    return execute(SHOUT, ShoutConfig(suffix=suffix), {"text": [str(text)]}, outputs, {})


def kept(hidden: Path) -> list[Path]:
    return [path for path in hidden.rglob("*") if path.is_file()]


def fail(text: Path, at: str, suffix: str = "!") -> None:
    FAIL_AT.append(at)
    with pytest.raises(RuntimeError, match="killed"):
        shout(text, suffix)
    FAIL_AT.clear()


def content(text: Path) -> str:
    return open_reference(str(text.parent / "out")).file("shout.txt").read_text()


def test_run_that_failed_goes_on_from_its_parts_and_clears_them(text: Path, hidden: Path) -> None:
    fail(text, "three")
    assert len(kept(hidden)) == 2
    assert not (text.parent / "out").exists()
    assert not shout(text).reused
    assert WORK == ["one", "two", "three", "three"]
    assert content(text) == "ONE! TWO! THREE!"
    assert kept(hidden) == []


def test_run_that_went_on_is_reused_like_any_other(text: Path, hidden: Path) -> None:
    fail(text, "two")
    shout(text)
    assert shout(text).reused
    assert WORK == ["one", "two", "two", "three"]


def test_altered_part_is_made_again(text: Path, hidden: Path) -> None:
    fail(text, "three")
    for part in kept(hidden):
        part.write_text("nonsense")
    shout(text)
    assert WORK == ["one", "two", "three", "one", "two", "three"]
    assert content(text) == "ONE! TWO! THREE!"


def test_parts_of_another_config_or_input_are_not_taken(text: Path, hidden: Path) -> None:
    fail(text, "three")
    fail(text, "two", suffix="?")
    assert WORK == ["one", "two", "three", "one", "two"]
    (text / "text.txt").write_text("one two")
    shout(text)
    assert WORK[5:] == ["one", "two"]
    # What other runs have left is theirs.
    assert len(kept(hidden)) == 3


def test_parts_of_a_run_that_was_killed_once_it_had_published_are_cleared_by_the_next(
    text: Path, hidden: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(DirectoryPartialResults, "clear", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        shout(text)
    assert [path for path in hidden.rglob("*") if path.is_file()]
    assert shout(text).reused
    assert not [path for path in hidden.rglob("*") if path.is_file()]
