"""Small data directories for `prepare`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from storm_core.execution import Outcome, execute
from storm_core.sources.config import PREPARE, PrepareConfig


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """An empty data directory."""
    directory = tmp_path / "data"
    directory.mkdir()
    return directory


@pytest.fixture
def write_jsonl(data: Path) -> Callable[[str, list[Any]], None]:
    """Write a file of one JSON line a row into the data directory."""

    def write(name: str, rows: list[Any]) -> None:
        (data / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    return write


@pytest.fixture
def prepare(tmp_path: Path, data: Path) -> Callable[..., Outcome]:
    """Run the stage on the data directory with the given sources and options; the output is `tmp_path / name`."""

    def run(*sources: str, name: str = "examples", **options: Any) -> Outcome:
        config = PrepareConfig(sources=sources, **options)
        return execute(
            PREPARE, config, inputs={"data": [str(data)]}, outputs={"examples": tmp_path / name}, value_files={}
        )

    return run
