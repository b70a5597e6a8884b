"""Tokenised examples are made once, and are the same when they are read."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from storm_core.artifacts import open_directory
from storm_core.execution import execute
from storm_core.finetuning.config import TRAIN, TrainConfig
from storm_core.finetuning.tokenization import TokenizedExample, TokenizedExamples
from storm_core.finetuning.tokenized_files import tokenized_once, tokens_identity
from storm_core.stage import Inputs
from storm_core.stores.partial_results import DirectoryPartialResults

EXAMPLES = TokenizedExamples(
    kept=[TokenizedExample(id="a", input_ids=[1, 2, 3], labels=[-100, 2, 3])], dropped=Counter(too_long=2)
)


def never(*_: Any) -> TokenizedExamples:
    pytest.fail("tokenised again")


def test_second_attempt_reads_what_the_first_made(tmp_path: Path) -> None:
    kept = DirectoryPartialResults(tmp_path / "parts")
    assert tokenized_once(lambda: EXAMPLES, kept, tmp_path) == EXAMPLES
    assert tokenized_once(never, kept, tmp_path) == EXAMPLES


def test_altered_file_is_made_again(tmp_path: Path) -> None:
    kept = DirectoryPartialResults(tmp_path / "parts")
    tokenized_once(lambda: EXAMPLES, kept, tmp_path)
    (file,) = (tmp_path / "parts").iterdir()
    file.write_bytes(b"altered")
    assert tokenized_once(lambda: EXAMPLES, kept, tmp_path) == EXAMPLES


def test_process_that_is_not_the_main_one_reads_what_that_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = DirectoryPartialResults(tmp_path / "parts")
    tokenized_once(lambda: EXAMPLES, kept, tmp_path)
    monkeypatch.setattr("storm_core.processes.is_main", lambda: False)
    assert tokenized_once(never, kept, tmp_path) == EXAMPLES


def test_trainings_with_other_options_share_what_one_tokenised(
    tiny_llama: Path, selection: Path, tiny_scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(**options: Any) -> None:
        execute(
            TRAIN,
            TrainConfig(**{"epochs": 0.5, "batch_size": 2, "dtype": "float32", "warmup_ratio": 0.0, **options}),
            inputs={"model": [str(tiny_llama)], "selection": [str(selection)], "scan": [str(tiny_scan)]},
            outputs={name: tmp_path / name for name in TRAIN.outputs},
            value_files={},
        )

    monkeypatch.setenv("STORM_STORE", (tmp_path / "store").as_uri())
    train(learning_rate=0.01)
    monkeypatch.setattr("storm_core.finetuning.stage.tokenize_examples", never)
    train(learning_rate=0.02)
    with pytest.raises(pytest.fail.Exception, match="tokenised again"):
        train(max_length=1000)


def test_examples_of_another_tokenizer_are_other_examples(tmp_path: Path) -> None:
    def inputs(name: str, **files: str) -> Inputs:
        artifacts = {}
        for place, content in {"selection/train.parquet": "rows", "model/model.safetensors": "old", **files}.items():
            (tmp_path / name / place).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / place).write_text(content)
            kind = place.partition("/")[0]
            artifacts[kind] = [open_directory(tmp_path / name / kind)]
        return Inputs(artifacts)

    tokenizer = {"model/tokenizer.json": "a"}
    first = tokens_identity(inputs("first", **tokenizer), "train.parquet", 8)
    tuned = inputs("tuned", **tokenizer, **{"model/model.safetensors": "new"})
    assert tokens_identity(tuned, "train.parquet", 8) == first
    assert tokens_identity(tuned, "train.parquet", 9) != first
    assert tokens_identity(inputs("other", **{"model/tokenizer.json": "b"}), "train.parquet", 8) != first
    assert (
        tokens_identity(inputs("rows", **tokenizer, **{"selection/train.parquet": "more"}), "train.parquet", 8) != first
    )
