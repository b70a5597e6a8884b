import gzip
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storm_core.errors import InputError
from storm_core.sources.files import json_texts
from storm_core.sources.files.json_files import read
from storm_core.sources.files.rows import MAX_ROW_BYTES, RawRow, Rejected

ROW = {"instruction": "Why?", "output": "Because."}
GOOD = json.dumps(ROW).encode()


def rows_of(file: Path, content: bytes) -> list[RawRow | Rejected]:
    file.write_bytes(gzip.compress(content) if file.suffix == ".gz" else content)
    return list(read(file.name, file, ("output",)))


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.jsonl.gz", "a.json.gz"])
def test_lines_are_read_whether_gzipped_or_not(tmp_path: Path, name: str) -> None:
    assert rows_of(tmp_path / name, GOOD + b"\n\n" + GOOD) == [
        RawRow(place=f"{name}:1", values=ROW),
        RawRow(place=f"{name}:3", values=ROW),
    ]


@pytest.mark.parametrize("name", ["a.json", "a.json.gz"])
def test_array_is_read_element_by_element(tmp_path: Path, name: str) -> None:
    content = json.dumps([ROW, {"output": '], "} \\" [{'}, ROW], indent=2).encode()
    assert [row.values for row in rows_of(tmp_path / name, content) if isinstance(row, RawRow)] == json.loads(content)


@pytest.mark.parametrize("content", [b"[]", b" [ ]\n"])
def test_empty_array_has_no_rows(tmp_path: Path, content: bytes) -> None:
    assert rows_of(tmp_path / "a.json", content) == []


@given(st.lists(st.dictionaries(st.text(), st.text() | st.lists(st.text()))), st.integers(1, 40), st.booleans())
def test_array_is_read_alike_whatever_the_blocks(rows: list[dict[str, Any]], block_bytes: int, ascii: bool) -> None:
    content = json.dumps(rows, ensure_ascii=ascii).encode("utf-8", "surrogatepass")
    scanner = json_texts._ArrayScanner()
    blocks: Iterator[bytes] = (content[at : at + block_bytes] for at in range(0, len(content), block_bytes))
    elements = [json.loads(element) for block in blocks for element in scanner.feed(block) if element is not None]
    assert elements == rows
    assert scanner.closed


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{broken", "not JSON"),
        (b'{"output": "\xe9t\xe9"}', "not UTF-8: byte 0xe9 at 12"),
        (b"\0" * 100, "not JSON"),
        (b'{"output": "\0"}', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"a":' * 100_000, "not JSON"),
        (b"[1, 2]", "not a JSON object"),
        (b'"text"', "not a JSON object"),
        (b"9" * 5000, "not JSON"),
    ],
)
def test_broken_row_spoils_only_itself(tmp_path: Path, line: bytes, reason: str) -> None:
    for name, content in {"a.jsonl": b"\n".join([GOOD, line, GOOD])}.items():
        first, broken, last = rows_of(tmp_path / name, content)
        assert isinstance(first, RawRow)
        assert isinstance(last, RawRow)
        assert isinstance(broken, Rejected)
        assert broken.place == f"{name}:2"
        assert broken.reason.startswith(reason)


def test_broken_element_of_an_array_spoils_only_itself(tmp_path: Path) -> None:
    content = b"[" + b",".join([GOOD, b'{"output": nonsense}', b"", b'{"output": "\xff"}', GOOD]) + b"]"
    rows = rows_of(tmp_path / "a.json", content)
    assert [type(row) for row in rows] == [RawRow, Rejected, Rejected, Rejected, RawRow]
    assert [row.place for row in rows] == [f"a.json:{number}" for number in range(1, 6)]


def test_byte_order_mark_is_not_part_of_the_first_row(tmp_path: Path) -> None:
    for name, content in {"a.jsonl": GOOD, "b.json": b"[" + GOOD + b"]"}.items():
        assert [row.place for row in rows_of(tmp_path / name, b"\xef\xbb\xbf" + content)] == [f"{name}:1"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_file_in_utf_16_is_named(tmp_path: Path, encoding: str) -> None:
    mark = b"\xfe\xff" if encoding == "utf-16-be" else b""
    with pytest.raises(InputError, match=r"a\.jsonl is in UTF-16; convert it to UTF-8"):
        rows_of(tmp_path / "a.jsonl", mark + GOOD.decode().encode(encoding))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.json", b"[" + GOOD + b"," + GOOD, "ends inside its array, in or after row 2"),
        ("a.json", b'[{"output": "never closed}]', "ends inside its array, in or after row 1"),
        ("a.json", b"[" + GOOD + b"][" + GOOD + b"]", "holds more than one array: there is text after row 1"),
        ("a.jsonl.gz", gzip.compress(GOOD * 1000, mtime=0)[:-20], "is not a whole gzip file"),
        ("a.jsonl.gz", b"no gzip at all", "is not a whole gzip file"),
        (
            "a.jsonl.gz",
            gzip.compress(GOOD, mtime=0)[:12] + b"\xff\xff\xff" + gzip.compress(GOOD, mtime=0)[15:],
            "is not a whole gzip file",
        ),
    ],
)
def test_file_whose_end_is_missing_is_named(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=reason) as caught:
        list(read(name, tmp_path / name, ("output",)))
    assert name in str(caught.value)


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_row_of_100_mb_is_rejected_in_bounded_memory(tmp_path: Path, name: str) -> None:
    start, between, end = (b"[", b",", b"]") if name == "a.json" else (b"", b"\n", b"")
    with (tmp_path / name).open("wb") as stream:
        stream.write(start + GOOD + between + b'{"output": "')
        for _ in range(100):
            stream.write(b"x" * 1_000_000)
        stream.write(b'"}' + between + GOOD + end)
    script = (
        "import resource, sys; from pathlib import Path; from storm_core.sources.files.json_files import read\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print([row.place + type(row).__name__ for row in read(sys.argv[1], Path(sys.argv[1]), ())])\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, name], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    rows, kilobytes = done.stdout.splitlines()
    assert rows == f"['{name}:1RawRow', '{name}:2Rejected', '{name}:3RawRow']"
    assert int(kilobytes) << 10 < 4 * MAX_ROW_BYTES


def test_row_at_the_bound_is_read(tmp_path: Path) -> None:
    padding = MAX_ROW_BYTES - len(b'{"output": ""}')
    (row,) = rows_of(tmp_path / "a.jsonl", b'{"output": "' + b"x" * padding + b'"}')
    assert isinstance(row, RawRow)
