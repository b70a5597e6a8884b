import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storm_core.artifacts import open_directory, seal
from storm_core.errors import InputError
from storm_core.sources.files.columnar_files import read
from storm_core.sources.files.data_files import read_rows
from storm_core.sources.files.rows import RawRow, Rejected

COLUMNS = ("instruction", "output", "tools")


def table(rows: int) -> pa.Table:
    return pa.table({"instruction": [f"question {row}" for row in range(rows)], "output": ["answer"] * rows})


def write(file: Path, content: pa.Table, **options: Any) -> Path:
    if file.suffix == ".parquet":
        pq.write_table(content, file, **options)
    else:
        opener = pa.ipc.new_file if options.get("is_file") else pa.ipc.new_stream
        with opener(file, content.schema) as writer:
            writer.write_table(content, max_chunksize=options.get("chunk"))
    return file


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.parquet", {}),
        ("a.parquet", {"row_group_size": 7}),
        ("a.arrow", {}),
        ("a.arrow", {"chunk": 3}),
        ("a.arrow", {"is_file": True, "chunk": 300}),
    ],
)
def test_rows_are_numbered_through_the_whole_file(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    file = write(tmp_path / name, table(600), **options)
    rows = list(read(name, file, COLUMNS))
    assert [row.place for row in rows] == [f"{name}:{number}" for number in range(1, 601)]
    assert rows[599] == RawRow(place=f"{name}:600", values={"instruction": "question 599", "output": "answer"})


def test_damaged_row_group_is_counted_row_by_row_and_the_next_one_is_read(tmp_path: Path) -> None:
    # Small pages, and the damage in one of the last: some rows of the group are read before it is found.
    pages = {"use_dictionary": False, "data_page_size": 1000, "write_batch_size": 50, "compression": "gzip"}
    file = write(tmp_path / "a.parquet", table(3000), row_group_size=1000, **pages)
    column = pq.ParquetFile(file).metadata.row_group(1).column(0)
    content = bytearray(file.read_bytes())
    late = column.data_page_offset + column.total_compressed_size * 9 // 10
    content[late : late + 200] = b"\xff" * 200
    file.write_bytes(content)
    rows = list(read("a.parquet", file, COLUMNS))
    assert [row.place for row in rows] == [f"a.parquet:{number}" for number in range(1, 3001)]
    rejected = [row for row in rows if isinstance(row, Rejected)]
    assert 0 < len(rejected) < 1000
    assert all(1000 < int(row.place.partition(":")[2]) <= 2000 for row in rejected)
    assert rejected[0].reason.startswith("row group 1 is damaged: ")


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
@pytest.mark.parametrize("kept", [0, 3, 0.5, 0.999])
def test_file_whose_end_is_missing_is_named(tmp_path: Path, name: str, kept: float) -> None:
    file = write(tmp_path / name, table(600))
    content = file.read_bytes()
    file.write_bytes(content[: int(kept if kept >= 1 else kept * len(content))])
    with pytest.raises(InputError, match=rf"a\.{name[2:]} is not a"):
        list(read(name, file, COLUMNS))


def test_stream_cut_between_two_batches_is_not_taken_for_a_shorter_one(tmp_path: Path) -> None:
    file = write(tmp_path / "a.arrow", table(600), chunk=300)
    whole = write(tmp_path / "b.arrow", table(300)).read_bytes()
    file.write_bytes(whole[:-8])
    with pytest.raises(InputError, match="its end is missing"):
        list(read("a.arrow", file, COLUMNS))


def numbers(*values: int) -> bytes:
    return np.array(values, dtype=np.int32).tobytes()


@pytest.mark.parametrize("is_file", [False, True])
@pytest.mark.parametrize(
    ("column", "intact", "damaged"),
    [
        (pa.array(["aaaa", "bbbb", "cccc"]), (0, 4, 8, 12), (0, 4, 1 << 20, 12)),
        (pa.array(["aaaa", "bbbb", "cccc"]), (0, 4, 8, 12), (0, -(1 << 20), 8, 12)),
        (pa.array([["a"], ["b", "c"], []]), (0, 1, 3, 3), (0, 1, 1 << 20, 3)),
        (pa.array([[{"role": "a"}], [{"role": "bb"}], []]), (0, 1, 3), (0, 1 << 20, 3)),
        (pa.array(["a", "b", "a"]).dictionary_encode(), (0, 1, 0), (0, 1 << 20, 0)),
    ],
)
def test_arrow_file_whose_offsets_lead_outside_it_is_named(
    tmp_path: Path, column: pa.Array, intact: tuple[int, ...], damaged: tuple[int, ...], is_file: bool
) -> None:
    file = write(tmp_path / "a.arrow", pa.table({"output": column}), is_file=is_file)
    content = file.read_bytes()
    assert content.count(numbers(*intact)) == 1
    file.write_bytes(content.replace(numbers(*intact), numbers(*damaged)))
    with pytest.raises(InputError, match=r"a\.arrow is not a readable Arrow file: .*; fetch it again"):
        list(read("a.arrow", file, COLUMNS))


def test_arrow_file_whose_column_has_no_readable_name_is_named(tmp_path: Path) -> None:
    file = write(tmp_path / "a.arrow", table(3))
    file.write_bytes(file.read_bytes().replace(b"instruction", b"instruct\xffon"))
    with pytest.raises(InputError, match=r"a\.arrow is not a readable Arrow file"):
        list(read("a.arrow", file, COLUMNS))


LATIN = pa.array([b"fine", b"\xe9t\xe9", b"fine"], pa.binary()).cast(pa.string(), safe=False)


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
@pytest.mark.parametrize(
    "outputs",
    [
        LATIN,
        pa.StructArray.from_arrays([LATIN], names=["content"]),
        pa.ListArray.from_arrays(pa.array([0, 1, 2, 3], pa.int32()), LATIN),
        pa.MapArray.from_arrays(pa.array([0, 1, 2, 3], pa.int32()), LATIN, LATIN),
    ],
)
def test_text_of_another_encoding_spoils_only_its_row(tmp_path: Path, name: str, outputs: pa.Array) -> None:
    file = write(tmp_path / name, pa.table({"output": outputs}))
    first, second, third = read(name, file, COLUMNS)
    assert isinstance(first, RawRow)
    assert second == Rejected(place=f"{name}:2", reason="not UTF-8: byte 0xe9 at 0")
    assert isinstance(third, RawRow)


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
def test_row_that_is_too_large_spoils_only_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr("storm_core.sources.files.columnar_files.MAX_ROW_BYTES", 1000)
    texts = ["short", "x" * 990, "x" * 1001, *["short"] * 100]
    for outputs in (texts, [[{"content": text}] for text in texts], pa.array(texts).dictionary_encode()):
        rows = list(read(name, write(tmp_path / name, pa.table({"output": outputs})), COLUMNS))
        assert [row.place for row in rows] == [f"{name}:{number}" for number in range(1, 104)]
        (rejected,) = (row for row in rows if isinstance(row, Rejected))
        assert rejected == Rejected(place=f"{name}:3", reason="the row has more than 16 MiB")


def test_fields_that_only_other_records_have_are_left_out(tmp_path: Path) -> None:
    tools = [
        [{"name": "a", "city": {"type": "string"}, "day": None}],
        [{"name": "b", "city": None, "day": {"type": "x"}}],
    ]
    file = write(tmp_path / "a.parquet", pa.Table.from_pylist([{"tools": row} for row in tools]))
    assert [row.values for row in read("a.parquet", file, COLUMNS) if isinstance(row, RawRow)] == [
        {"tools": [{"name": "a", "city": {"type": "string"}}]},
        {"tools": [{"name": "b", "day": {"type": "x"}}]},
    ]


def places(directory: Path, path: str) -> list[str]:
    return [row.place for row in read_rows(open_directory(directory), path, COLUMNS)]


def test_data_set_saved_to_disk_is_read_without_its_caches(tmp_path: Path) -> None:
    from datasets import Dataset, DatasetDict

    splits = {
        "train": Dataset.from_list([{"output": "a"}, {"output": "b"}]),
        "test": Dataset.from_list([{"output": "c"}]),
    }
    DatasetDict(splits).save_to_disk(tmp_path / "chat")
    write(tmp_path / "chat" / "train" / "cache-1234.arrow", table(5))
    train = "chat/train/data-00000-of-00001.arrow"
    assert places(tmp_path, "chat") == places(tmp_path, "chat#train") == [f"{train}:1", f"{train}:2"]
    assert places(tmp_path, "chat#test") == ["chat/test/data-00000-of-00001.arrow:1"]


def test_snapshot_of_a_hub_is_read_by_split(tmp_path: Path) -> None:
    for name in ("data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet", "data/test-00000.parquet"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write(tmp_path / name, table(1))
    (tmp_path / "training.jsonl").write_text(json.dumps({"output": "x"}))
    (tmp_path / "dataset_infos.json").write_text("{}")
    (tmp_path / "README.md").write_text("# About")
    assert places(tmp_path, ".#train") == [f"data/train-0000{shard}-of-00002.parquet:1" for shard in (0, 1)]
    assert places(tmp_path, ".") == places(tmp_path, ".#train")
    with pytest.raises(InputError, match="file of the split validation at data"):
        places(tmp_path, "data#validation")


def test_directory_of_descriptions_alone_has_no_rows(tmp_path: Path) -> None:
    (tmp_path / "dataset_info.json").write_text("{}")
    with pytest.raises(InputError, match="only descriptions of a data set"):
        places(tmp_path, ".")


def test_state_that_lists_nothing_is_named(tmp_path: Path) -> None:
    write(tmp_path / "data-00000-of-00001.arrow", table(1))
    (tmp_path / "state.json").write_text("[]")
    with pytest.raises(InputError, match=r"state\.json does not list the data files"):
        places(tmp_path, ".")


def test_state_that_the_manifest_does_not_list_is_ignored(tmp_path: Path) -> None:
    write(tmp_path / "chat.arrow", table(1))
    seal(tmp_path, "data", producer={}, inputs={}, metrics={})
    (tmp_path / "state.json").write_text('{"_data_files": []}')
    assert places(tmp_path, ".") == ["chat.arrow:1"]


def test_files_of_other_kinds_are_named_and_descriptions_are_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "mix"
    directory.mkdir()
    write(directory / "a.parquet", table(2))
    for name in ("README.md", "LICENSE", "b.ndjson", "c.JSONL", "d.csv"):
        (directory / name).write_text("{}")
    assert len(list(read_rows(open_directory(tmp_path), "mix", COLUMNS))) == 2
    assert "mix: 3 files are not read (mix/b.ndjson, mix/c.JSONL, mix/d.csv), as they" in capsys.readouterr().err
    list(read_rows(open_directory(tmp_path), "mix/a.parquet", COLUMNS))
    assert capsys.readouterr().err == ""
