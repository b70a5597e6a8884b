"""Files that hold less than they seem to, or something twice: refused, never read in silence."""

import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storm_core.artifacts import open_directory
from storm_core.errors import InputError
from storm_core.sources.files.data_files import read_rows
from storm_core.sources.files.rows import RawRow, Rejected

COLUMNS = ("messages", "instruction", "output")


def row(number: int) -> dict[str, Any]:
    return {"instruction": f"Question {number}?", "output": f"Answer {number}."}


def write(data: Path, name: str, text: str = "") -> None:
    (data / name).parent.mkdir(parents=True, exist_ok=True)
    (data / name).write_text(text or json.dumps(row(1)) + "\n", encoding="utf-8")


def read(data: Path, path: str = ".") -> list[RawRow | Rejected]:
    return list(read_rows(open_directory(data), path, COLUMNS))


@pytest.mark.parametrize("seed", range(8))
def test_a_split_of_which_files_are_missing_is_refused_by_their_names(data: Path, seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311 (no secret)
    count = draw.randrange(2, 9)
    names = [f"{draw.choice(['data/', ''])}train-{number:05d}-of-{count:05d}.jsonl" for number in range(count)]
    names = [f"data/{Path(name).name}" for name in names] if seed % 2 else [Path(name).name for name in names]
    for name in names:
        write(data, name)
    assert len(read(data)) == count
    missing = draw.choice(names)
    (data / missing).unlink()
    with pytest.raises(
        InputError, match=f"{count - 1} of {count} files are there, and not {missing}; fetch the others"
    ):
        read(data)
    # Who names a file means it.
    assert len(read(data, next(name for name in names if name != missing))) == 1


def test_missing_files_of_a_split_that_is_not_read_are_no_matter(data: Path) -> None:
    write(data, "data/train-00000-of-00001.jsonl")
    write(data, "data/test-00001-of-00002.jsonl")
    assert len(read(data)) == 1


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('{"instruction": "Q", "output": "A", "output": "B"}', "output"),
        ('{"messages": [{"role": "user", "content": "Q", "content": "R"}]}', "content"),
        ('{"instruction": "Q", "output": "A", "meta": {"a": 1, "b": 2, "a": 1}}', "a"),
    ],
)
def test_a_key_that_stands_twice_is_rejected_and_spoils_no_other_row(data: Path, text: str, key: str) -> None:
    write(data, "rows.jsonl", f"{json.dumps(row(1))}\n{text}\n{json.dumps(row(2))}\n")
    first, broken, last = read(data)
    assert isinstance(first, RawRow) and isinstance(last, RawRow)
    assert broken == Rejected(place="rows.jsonl:2", reason=f"the row has the key {key!r} twice in one object")


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_two_columns_of_one_name_are_refused(data: Path, kind: str) -> None:
    table = pa.Table.from_arrays(
        [pa.array(["Q"]), pa.array(["A"]), pa.array(["B"])], ["instruction", "output", "output"]
    )
    if kind == "parquet":
        pq.write_table(table, data / "rows.parquet")
    else:
        with pa.OSFile(str(data / "rows.arrow"), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    with pytest.raises(InputError, match=f"rows.{kind} has two columns named 'output'"):
        read(data)


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.parquet", "rows.arrow"])
def test_a_pointer_of_git_lfs_is_told_for_what_it_is(data: Path, name: str) -> None:
    write(data, name, "version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 123\n")
    with pytest.raises(InputError, match=f"{name} is a pointer of Git LFS and not the data; run `git lfs pull`"):
        read(data)


CONFIGS = "---\nconfigs:\n- config_name: {}\n  data_dir: one\n- config_name: other\n  data_dir: two\n---\n"


def test_configurations_that_name_directories_alone_are_kept_apart(data: Path, capsys: Any) -> None:
    for name in ("one/train.jsonl", "one/test.jsonl", "two/train.jsonl", "two/a.jsonl"):
        write(data, name)
    (data / "README.md").write_text(CONFIGS.format("default"))
    assert [item.place for item in read(data)] == ["one/train.jsonl:1"]
    assert "read: train; left: test, two/a.jsonl, two/train.jsonl, the configurations other" in capsys.readouterr().err
    assert [item.place for item in read(data, ".#other")] == ["two/train.jsonl:1"]
    (data / "README.md").write_text(CONFIGS.format("some"))
    with pytest.raises(InputError, match="several configurations, some, other"):
        read(data)


def test_files_of_no_split_are_named_when_all_are_read(data: Path, capsys: Any) -> None:
    for name in ("contest.jsonl", "latest.jsonl"):
        write(data, name)
    assert len(read(data)) == 2
    assert "no splits are named; all 2 files are read: contest.jsonl, latest.jsonl" in capsys.readouterr().err


@pytest.mark.parametrize("word", ["testset", "valset", "devset", "evalset"])
def test_words_for_sets_to_measure_with_are_known(data: Path, word: str) -> None:
    write(data, f"my_{word}.jsonl")
    write(data, "rows.jsonl")
    assert [item.place for item in read(data)] == ["rows.jsonl:1"]
