"""Tokenised examples are made once, and are the same when they are read."""

import itertools
import json
import shutil
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from storm_core.artifacts import open_directory
from storm_core.errors import InputError
from storm_core.execution import execute
from storm_core.finetuning.config import TRAIN, TrainConfig
from storm_core.finetuning.flat_examples import TokenizedExamples, write_flat
from storm_core.finetuning.tokenization import IGNORED, Dropped, TokenizedExample
from storm_core.finetuning.tokenized_files import tokenized_once, tokens_identity
from storm_core.stage import Inputs
from storm_core.stores.partial_results import DirectoryPartialResults

DROPPED = Dropped(counts=Counter(too_long=2), words={"too_long": "of 3 tokens"})
EXAMPLES = [
    TokenizedExample(id="a", input_ids=[1, 2, 3], labels=[IGNORED, 2, 3]),
    *(TokenizedExample(id=str(n), input_ids=[n, 128255], labels=[n, IGNORED]) for n in range(600)),
]


def tokenize(dropped: Dropped) -> Iterator[TokenizedExample]:
    yield from EXAMPLES
    dropped.counts["too_long"] += 2
    dropped.words["too_long"] = "of 3 tokens"


def never(*_: Any) -> Iterator[TokenizedExample]:
    pytest.fail("tokenised again")


def check(examples: TokenizedExamples) -> None:
    """They are `EXAMPLES`."""
    assert examples.dropped == DROPPED
    for found, expected in zip(examples.kept, EXAMPLES, strict=True):
        assert found.id == expected.id
        assert list(found.input_ids) == expected.input_ids
        assert list(found.labels) == expected.labels
    assert examples.kept.ids() == [example.id for example in EXAMPLES]
    assert examples.kept.lengths.tolist() == [3] + 600 * [2]
    assert examples.kept.answers.tolist() == [2] + 600 * [0]
    assert examples.kept.answer_tokens() == 602


def test_second_attempt_reads_what_the_first_made(tmp_path: Path) -> None:
    kept = DirectoryPartialResults(tmp_path / "parts")
    check(tokenized_once(tokenize, kept, tmp_path))
    check(tokenized_once(never, kept, tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["parts"]


@pytest.mark.parametrize("altered", [lambda _: b"altered", lambda content: content[:-1], lambda _: b""])
def test_altered_file_is_made_again(altered: Callable[[bytes], bytes], tmp_path: Path) -> None:
    kept = DirectoryPartialResults(tmp_path / "parts")
    tokenized_once(tokenize, kept, tmp_path)
    (file,) = (tmp_path / "parts").iterdir()
    file.write_bytes(altered(file.read_bytes()))
    check(tokenized_once(tokenize, kept, tmp_path))


def written(content: bytes) -> Callable[[Path], object]:
    return lambda file: file.write_bytes(content)


def other_columns(file: Path) -> None:
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, pa.schema([("id", pa.string())])) as writer:
        end = {"dropped": json.dumps({"counts": {}, "words": {}})}
        writer.write_batch(pa.record_batch({"id": pa.array([], pa.string())}), custom_metadata=end)


def without_end(file: Path) -> None:
    write_flat(EXAMPLES, Dropped(), file)
    file.write_bytes(file.read_bytes()[:-100])


@pytest.mark.parametrize("write", [written(b""), written(b"PAR1"), written(bytes(1000)), other_columns, without_end])
def test_file_that_is_kept_whole_and_holds_something_else_is_made_again(
    write: Callable[[Path], object], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    kept = DirectoryPartialResults(tmp_path / "parts")
    write(tmp_path / "other")
    kept.keep("tokens.arrow", tmp_path / "other")
    check(tokenized_once(tokenize, kept, tmp_path))
    assert "cannot be read" in capfd.readouterr().err
    check(tokenized_once(never, kept, tmp_path))


def test_tokenising_that_fails_keeps_nothing(tmp_path: Path) -> None:
    def fail(dropped: Dropped) -> Iterator[TokenizedExample]:
        yield EXAMPLES[0]
        raise InputError("row 2 is damaged")

    kept = DirectoryPartialResults(tmp_path / "parts")
    with pytest.raises(InputError, match="row 2 is damaged"):
        tokenized_once(fail, kept, tmp_path)
    check(tokenized_once(tokenize, kept, tmp_path))


def test_leader_of_another_machine_reads_what_the_main_process_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = DirectoryPartialResults(tmp_path / "parts")
    tokenized_once(tokenize, kept, tmp_path)
    monkeypatch.setattr("storm_core.processes.is_main", lambda: False)
    check(tokenized_once(never, kept, tmp_path))


def test_process_that_leads_no_machine_maps_the_file_of_the_one_that_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "leader").mkdir()
    file = tmp_path / "leader" / "tokens.arrow"
    write_flat(EXAMPLES, DROPPED, file)
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(
        "storm_core.finetuning.tokenized_files.gather", lambda _: [Path("a"), Path("b"), file, Path("c")]
    )
    check(tokenized_once(never, DirectoryPartialResults(tmp_path / "parts"), tmp_path))
    assert file.exists()


def test_examples_are_written_as_they_come(tmp_path: Path) -> None:
    alive: weakref.WeakSet[TokenizedExample] = weakref.WeakSet()
    most = 0

    def come() -> Iterator[TokenizedExample]:
        nonlocal most
        for number in range(2000):
            example = TokenizedExample(id=str(number), input_ids=[1, 2], labels=[1, 2])
            alive.add(example)
            most = max(most, len(alive))
            yield example

    write_flat(come(), Dropped(), tmp_path / "file")
    assert most < 600


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


@pytest.mark.parametrize(("beginning", "shares"), [("", True), ("{{ strftime_now('%Y') }}", False)])
def test_trainings_with_other_dates_share_only_what_tells_no_date(
    beginning: str,
    shares: bool,
    tiny_llama: Path,
    selection: Path,
    tiny_scan: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = shutil.copytree(tiny_llama, tmp_path / "model", ignore=shutil.ignore_patterns("manifest.json"))
    template = model / "chat_template.jinja"
    template.write_text(beginning + template.read_text())

    def read(date: str) -> None:
        config = TrainConfig(template_date=date, epochs=0.5, warmup_ratio=0.0, dtype="float32")
        execute(
            TRAIN,
            config,
            inputs={"model": [str(model)], "selection": [str(selection)], "scan": [str(tiny_scan)]},
            outputs={name: tmp_path / date / name for name in TRAIN.outputs},
            value_files={},
        )

    monkeypatch.setenv("STORM_STORE", (tmp_path / "store").as_uri())
    monkeypatch.setattr("storm_core.finetuning.stage.train", leave)
    with pytest.raises(SystemExit):
        read("2024-07-26")
    monkeypatch.setattr("storm_core.finetuning.stage.tokenize_examples", never)
    with pytest.raises(SystemExit if shares else pytest.fail.Exception):
        read("2025-07-26")


def leave(*_: Any) -> None:
    raise SystemExit


def test_examples_of_another_file_tokenizer_length_or_date_are_other_examples(tmp_path: Path) -> None:
    def inputs(name: str, **files: str) -> Inputs:
        artifacts = {}
        for place, content in {"selection/train.parquet": "rows", "model/model.safetensors": "old", **files}.items():
            (tmp_path / name / place).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / place).write_text(content)
            kind = place.partition("/")[0]
            artifacts[kind] = [open_directory(tmp_path / name / kind)]
        return Inputs(artifacts)

    def identity(
        name: str, changed: Mapping[str, str] | None = None, *, max_length: int = 8, date: str | None = None
    ) -> dict[str, Any]:
        files = {"model/tokenizer.json": "a", **(changed or {})}
        return tokens_identity(inputs(name, **files), "train.parquet", max_length, date)

    first = identity("first")
    assert identity("tuned", {"model/model.safetensors": "new"}) == first
    others = [
        identity("longer", max_length=9),
        identity("tokenizer", {"model/tokenizer.json": "b"}),
        identity("rows", {"selection/train.parquet": "more"}),
        identity("dated", date="2024-07-26"),
        identity("later", date="2024-07-27"),
    ]
    assert all(one != other for one, other in itertools.combinations([first, *others], 2))
