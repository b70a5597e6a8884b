"""Small selections and scans to train on."""

from collections.abc import Callable
from pathlib import Path

import pytest

from storm_core.execution import execute
from storm_core.records import Example, Message, make_example, write_examples
from storm_core.spectrum.config import SCAN, ScanConfig


def conversation(*turns: str, system: str = "") -> Example:
    """An example whose turns are the user's and the assistant's in alternation."""
    messages = [Message(role="system", content=system)] if system else []
    for number, content in enumerate(turns):
        messages.append(Message(role=("user", "assistant")[number % 2], content=content))
    return make_example("test", messages)


def questions(count: int) -> list[Example]:
    """Examples of different lengths."""
    return [conversation(f"How easy is {number}? " * (1 + number % 3), f"It is {number}.") for number in range(count)]


def write_selection(directory: Path, train: list[Example], validation: list[Example]) -> Path:
    directory.mkdir()
    write_examples(directory / "train.parquet", train)
    write_examples(directory / "validation.parquet", validation)
    return directory


@pytest.fixture
def make_selection(tmp_path: Path) -> Callable[..., Path]:
    """Writes a selection directory of the examples given."""
    return lambda train, validation: write_selection(tmp_path / "selection", train, validation)


@pytest.fixture
def selection(make_selection: Callable[..., Path]) -> Path:
    """Ten examples to train on and three to validate with."""
    return make_selection(questions(10), questions(3))


@pytest.fixture(scope="session")
def tiny_scan(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scan of `tiny_llama` at 50 percent."""
    directory = tmp_path_factory.mktemp("tiny_scan")
    execute(SCAN, ScanConfig(), inputs={"model": [str(tiny_llama)]}, outputs={"scan": directory}, value_files={})
    return directory
