"""Tokenised examples are made once, and are the same when they are read."""

from collections import Counter
from pathlib import Path

import pytest

from storm_core.finetuning.tokenization import TokenizedExample, TokenizedExamples
from storm_core.finetuning.tokenized_files import tokenized_once
from storm_core.stores.partial_results import DirectoryPartialResults

EXAMPLES = TokenizedExamples(
    kept=[TokenizedExample(id="a", input_ids=[1, 2, 3], labels=[-100, 2, 3])], dropped=Counter(too_long=2)
)


def never() -> TokenizedExamples:
    pytest.fail("tokenised again")


def test_second_attempt_reads_what_the_first_made(tmp_path: Path) -> None:
    kept = DirectoryPartialResults(tmp_path / "parts")
    assert tokenized_once("train.tokens", lambda: EXAMPLES, kept, tmp_path) == EXAMPLES
    assert tokenized_once("train.tokens", never, kept, tmp_path) == EXAMPLES


def test_altered_file_is_made_again(tmp_path: Path) -> None:
    kept = DirectoryPartialResults(tmp_path / "parts")
    tokenized_once("train.tokens", lambda: EXAMPLES, kept, tmp_path)
    (file,) = (tmp_path / "parts").iterdir()
    file.write_bytes(b"altered")
    assert tokenized_once("train.tokens", lambda: EXAMPLES, kept, tmp_path) == EXAMPLES


def test_process_that_is_not_the_main_one_reads_what_that_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = DirectoryPartialResults(tmp_path / "parts")
    tokenized_once("train.tokens", lambda: EXAMPLES, kept, tmp_path)
    monkeypatch.setattr("storm_core.processes.is_main", lambda: False)
    assert tokenized_once("train.tokens", never, kept, tmp_path) == EXAMPLES
