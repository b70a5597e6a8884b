"""Verdicts between runs: answers are kept, and what is none is asked again."""

from pathlib import Path
from typing import Any

import pytest

from storm_core.records import Message, make_example
from storm_core.stores.partial_results import DirectoryPartialResults
from storm_core.verdicts.cache import VerdictCache
from storm_core.verdicts.files import read_verdicts, write_verdicts

EXAMPLES = [
    make_example("chat", [Message(role="user", content="Go on"), Message(role="assistant", content=text)])
    for text in ("It says nothing.", "It says something.")
]
SILENT, ANSWERED = (example.id for example in EXAMPLES)


@pytest.fixture
def verdicts(make_verdict: Any) -> list[Any]:
    """One without an answer, and one with."""
    return [make_verdict(SILENT, (0.0, 0.0)), make_verdict(ANSWERED, (0.2, 0.8))]


@pytest.fixture
def parts(tmp_path: Path) -> DirectoryPartialResults:
    return DirectoryPartialResults(tmp_path / "parts")


def opened(parts: DirectoryPartialResults, scratch: Path) -> VerdictCache:
    scratch.mkdir()
    return VerdictCache(parts, scratch, run_key="r" * 64, keep_seconds=300.0)


def test_verdict_without_an_answer_is_not_kept(
    verdicts: list[Any], parts: DirectoryPartialResults, tmp_path: Path
) -> None:
    with opened(parts, tmp_path / "scratch") as cache:
        cache.add(verdicts)
        assert {id for id, _ in cache.find(EXAMPLES)} == {ANSWERED}
    (name,) = parts.names()
    assert parts.fetch(name, tmp_path / "part")
    assert [verdict.id for verdict in read_verdicts(tmp_path / "part")] == [ANSWERED]


def test_verdict_without_an_answer_that_an_earlier_version_kept_is_not_found(
    verdicts: list[Any], parts: DirectoryPartialResults, tmp_path: Path
) -> None:
    write_verdicts(tmp_path / "part", verdicts)
    parts.keep("earlier.parquet", tmp_path / "part")
    with opened(parts, tmp_path / "scratch") as cache:
        cache.load([SILENT, ANSWERED], {"r"})
        assert {id for id, _ in cache.find(EXAMPLES)} == {ANSWERED}
