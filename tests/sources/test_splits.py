"""Of a data set with several splits those to measure with are read only where they are named, and a line says so."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storm_core.artifacts import open_directory
from storm_core.errors import InputError
from storm_core.execution import Outcome
from storm_core.sources.files.data_files import read_rows
from storm_core.sources.files.split_names import is_evaluation, splits_of
from storm_core.sources.references import Source

ROW = {"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]}


def make(directory: Path, *names: str) -> Path:
    """Files of one row; what has no suffix is a shard of Parquet."""
    for name in names:
        file = directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".parquet"):
            pq.write_table(pa.Table.from_pylist([ROW]), file)
        else:
            file.write_text(json.dumps(ROW) + "\n")
    return directory


def read(directory: Path, path: str = ".", *, learned: bool = True) -> list[str]:
    rows = read_rows(open_directory(directory), path, ("messages",), learned=learned)
    return [row.place.rpartition(":")[0] for row in rows]


def shard(name: str) -> str:
    return f"data/{name}-00000-of-00001.parquet"


def readme(directory: Path, configs: str) -> None:
    (directory / "README.md").write_text(f"---\nlicense: mit\nconfigs:\n{configs}\n---\n# About\n")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ([shard("train_sft"), shard("test_sft"), shard("train_gen"), shard("test_gen")], [0, 2]),
        ([shard("train"), shard("validation"), shard("en")], [0, 2]),
        ([shard("train"), "extra.jsonl"], [0]),
        (["train/a.jsonl", "test/a.jsonl"], [0]),
        (["train/test.jsonl", "dev/train.jsonl"], [0]),
        (["train.jsonl", "test.jsonl"], [0]),
        (["chat.jsonl", "tools.jsonl", "test.jsonl"], [0, 1]),
        (["chat.jsonl", "contest.jsonl", "latest.jsonl", "evaluate.jsonl"], [0, 1, 2, 3]),
        (["my_train.jsonl", "my_train_2.jsonl", "my_eval_2.jsonl", "notes.jsonl"], [0, 1]),
        (["Train.jsonl", "TEST.jsonl", "Val-01.json"], [0]),
        (["main/train-00000-of-00001.parquet", "main/test-00000-of-00001.parquet"], [0]),
        (["training.jsonl", "heldout.jsonl", "held_out.json", "holdout/a.jsonl", "valid/b.jsonl"], [0]),
        (["train-test.jsonl", "train.jsonl"], [1]),
        (["a.jsonl", "b/c.jsonl"], [0, 1]),
    ],
)
def test_only_training_splits_are_read_and_a_line_says_so(
    files: list[str], expected: list[int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = sorted(files[place] for place in expected)
    assert read(make(tmp_path, *files)) == wanted
    told = capsys.readouterr().err
    assert ("left: " in told) == (len(wanted) < len(files))
    assert read(tmp_path, learned=False) == sorted(files)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["validation", "valid", "dev", "val", "test", "testing", "eval", "evaluation", "heldout"]),
    st.sampled_from(
        ["{}.jsonl", "{}-00000-of-00001.parquet", "{}_sft.jsonl", "{}/a.jsonl", "x_{}/a.jsonl", "x-{}.2.json"]
    ),
)
def test_split_to_measure_with_is_never_learned_from_unless_named(
    tmp_path_factory: pytest.TempPathFactory, word: str, form: str
) -> None:
    name = form.format(word)
    directory = make(tmp_path_factory.mktemp("set"), name)
    with pytest.raises(InputError, match=f"only splits to measure with: {word}; .* as in #{word}"):
        read(directory)
    assert read(directory, f".#{word}") == [name]
    assert read(directory, name) == [name]
    make(directory, "train/a.jsonl" if "/" in form else "train.jsonl")
    assert name not in read(directory)


def test_split_is_named_in_every_way(tmp_path: Path) -> None:
    make(tmp_path, *map(shard, ("train_sft", "test_sft", "train_gen", "test_gen")))
    assert read(tmp_path, ".#train_sft") == [shard("train_sft")]
    assert read(tmp_path, ".#train") == [shard("train_gen"), shard("train_sft")]
    assert read(tmp_path, ".#test_sft+train_gen") == [shard("test_sft"), shard("train_gen")]
    with pytest.raises(
        InputError, match=r"no file of the split dev at \.; its splits are test_gen, test_sft, train_gen"
    ):
        read(tmp_path, ".#dev")
    make(tmp_path / "other", "dev.jsonl", "train.jsonl")
    assert read(tmp_path, "other#validation") == ["other/dev.jsonl"]


def test_readme_says_which_files_are_which_split(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(tmp_path, "a/one.jsonl", "a/deep/two.jsonl", "b/three.jsonl", "four.jsonl")
    readme(
        tmp_path,
        "- config_name: default\n  data_files:\n  - split: train\n    path: 'a/**'\n"
        "  - split: test\n    path: [b/*.jsonl]\n",
    )
    assert read(tmp_path) == ["a/deep/two.jsonl", "a/one.jsonl"]
    assert "(by README.md) read: train; left: test, four.jsonl;" in capsys.readouterr().err
    assert read(tmp_path, ".#test") == ["b/three.jsonl"]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ("'*.jsonl'", ["test.jsonl", "x.jsonl"]),
        ("[x.jsonl]", ["x.jsonl"]),
        ("{train: x.jsonl, test: test.jsonl}", ["x.jsonl"]),
        ("[{split: train, path: 'x.json[l]'}, {split: validation, path: test.jsonl}]", ["x.jsonl"]),
        ("[{split: dpo, path: ./test.jsonl}]", ["test.jsonl"]),
    ],
)
def test_every_form_of_a_configuration_is_read(files: str, expected: list[str], tmp_path: Path) -> None:
    make(tmp_path, "x.jsonl", "test.jsonl")
    readme(tmp_path, f"- config_name: default\n  data_files: {files}\n")
    assert read(tmp_path) == expected


TWO = (
    "- config_name: main\n  data_dir: main\n"
    "  data_files: [{split: train, path: 'train-*'}, {split: test, path: 'test-*'}]\n"
    "- config_name: socratic\n  data_files: [{split: train, path: 'socratic/train-*'}]\n"
)


def test_one_of_several_configurations_is_named_or_the_default(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path, "main/train-0.jsonl", "main/test-0.jsonl", "socratic/train-0.jsonl")
    readme(tmp_path, TWO)
    with pytest.raises(InputError, match=r"has several configurations, main, socratic; name one .* #main or"):
        read(tmp_path)
    assert read(tmp_path, ".#main") == ["main/train-0.jsonl"]
    assert read(tmp_path, ".#main/test") == ["main/test-0.jsonl"]
    assert read(tmp_path, ".#socratic") == ["socratic/train-0.jsonl"]
    with pytest.raises(InputError, match=r"no configuration 'man' at \. in .*; it has main, socratic"):
        read(tmp_path, ".#man/test")
    readme(tmp_path, TWO.replace("- config_name: socratic\n", "- config_name: socratic\n  default: true\n"))
    capsys.readouterr()
    assert read(tmp_path) == ["socratic/train-0.jsonl"]
    assert "the configurations main" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (
            "- data_files: [{split: train, path: gone.jsonl}]",
            r"the split train of default is gone\.jsonl, and no such",
        ),
        ("[", r"configs in README\.md at \. in .* cannot be read"),
        ("7", r"configs in README\.md at \. in .* cannot be read"),
    ],
)
def test_readme_that_does_not_fit_is_named(head: str, said: str, tmp_path: Path) -> None:
    make(tmp_path, "x.jsonl")
    readme(tmp_path, head)
    with pytest.raises(InputError, match=said):
        read(tmp_path)


@pytest.mark.parametrize("text", ["# About", "---\nlicense: mit\n---\n", "---\nconfigs:\n- config_name: a\n---\n"])
def test_readme_that_lists_no_files_says_nothing(text: str, tmp_path: Path) -> None:
    make(tmp_path, "x.jsonl")
    (tmp_path / "README.md").write_text(text)
    assert read(tmp_path) == ["x.jsonl"]


def test_saved_data_set_has_the_splits_it_lists(tmp_path: Path) -> None:
    make(tmp_path, "saved/sft/a.jsonl", "saved/rl/a.jsonl", "saved/test/a.jsonl")
    (tmp_path / "saved/dataset_dict.json").write_text(json.dumps({"splits": ["sft", "rl", "test"]}))
    assert read(tmp_path, "saved") == ["saved/rl/a.jsonl", "saved/sft/a.jsonl"]
    assert read(tmp_path, "saved#test") == ["saved/test/a.jsonl"]
    (tmp_path / "saved/dataset_dict.json").write_text("[1]")
    with pytest.raises(InputError, match=r"dataset_dict\.json at saved in .* lists no splits"):
        read(tmp_path, "saved")


def test_splits_are_those_of_the_datasets_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from datasets.data_files import DataFilesDict, get_data_patterns

    for number, files in enumerate(
        [
            [shard("train_sft"), shard("test_sft")],
            ["train.jsonl", "test.jsonl", "dev.jsonl"],
            ["x/train/a.jsonl", "x/eval/a.jsonl"],
            ["my-train-1.jsonl", "my-valid-1.jsonl"],
        ]
    ):
        directory = make(tmp_path / str(number), *files)
        theirs = DataFilesDict.from_patterns(get_data_patterns(str(directory)), base_path=str(directory))
        files_of_train = [Path(file) for split in theirs if "train" in str(split) for file in theirs[split]]
        train = [file.relative_to(directory).as_posix() for file in files_of_train]
        assert read(directory) == sorted(train)
        ours = splits_of(open_directory(directory), ".", files).of_file
        assert {name for name in files if is_evaluation(ours[name])} == set(files) - set(train)


def test_evaluation_data_is_held_out_whole(data: Path, prepare: Callable[..., Outcome], tmp_path: Path) -> None:
    make(data, "chat.jsonl", "sets/train.jsonl", "sets/test.jsonl")
    other: dict[str, Any] = {"messages": [{"role": "user", "content": "A?"}, {"role": "assistant", "content": "B."}]}
    (data / "chat.jsonl").write_text(json.dumps(other) + "\n")
    prepare("chat=messages:chat.jsonl", held_out=("messages:sets",), shards=1)
    ledger = json.loads((tmp_path / "examples/ledger.json").read_text())
    assert ledger["held_out"]["messages:sets"]["read"] == 2
    opened = open_directory(data)
    assert len(list(Source(name="s", adapter="messages", path="sets").rows(opened))) == 1
