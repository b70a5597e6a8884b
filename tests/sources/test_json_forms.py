"""What is valid JSON is read whatever form it has, or told what it is; what is none spoils only itself."""

import gzip
import itertools
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storm_core.artifacts import open_directory
from storm_core.errors import InputError
from storm_core.sources.files import json_texts
from storm_core.sources.files.json_files import read
from storm_core.sources.files.rows import RawRow, Rejected
from storm_core.sources.formats import chat_messages

ROWS: list[dict[str, Any]] = [
    {"messages": [{"role": "user", "content": f'Who "keeps" {{tower}} {place}?\n]'}], "id": place} for place in range(4)
]
INDENTS = (None, 0, 2, "\t")
SUFFIXES = (".json", ".jsonl", ".json.gz", ".jsonl.gz")


def read_text(directory: Path, text: str | bytes, suffix: str = ".json") -> list[RawRow | Rejected]:
    content = text.encode("utf-8") if isinstance(text, str) else text
    file = directory / f"a{suffix}"
    file.write_bytes(gzip.compress(content) if suffix.endswith(".gz") else content)
    return list(read(file.name, file, ("messages",)))


def values(rows: list[RawRow | Rejected]) -> list[Any]:
    return [row.values if isinstance(row, RawRow) else row.reason for row in rows]


def forms(rows: list[dict[str, Any]], indent: Any) -> dict[str, str]:
    one_by_one = [json.dumps(row, indent=indent) for row in rows]
    return {
        "array": json.dumps(rows, indent=indent),
        "under a key": json.dumps({"version": "1", "data": rows, "license": None}, indent=indent),
        "one after another": "\n".join(one_by_one),
        "with blank lines": "\n\n".join(one_by_one) + "\n\n",
    }


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("indent", INDENTS)
def test_every_form_gives_the_same_rows(indent: Any, suffix: str, tmp_path: Path) -> None:
    for form, text in forms(ROWS, indent).items():
        for marked, ending in itertools.product(("", "\ufeff"), ("\n", "\r\n")):
            spelled = marked + text.replace("\n", ending)
            assert values(read_text(tmp_path, spelled, suffix)) == ROWS, form


@pytest.mark.parametrize("indent", INDENTS)
def test_one_object_is_one_row(indent: Any, tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        assert values(read_text(tmp_path, json.dumps(ROWS[0], indent=indent), suffix)) == ROWS[:1]


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.dictionaries(st.text(max_size=4), JSON, min_size=1, max_size=3), min_size=2, max_size=5),
    st.sampled_from(["array", "one after another", "with blank lines"]),
    st.sampled_from(INDENTS),
    st.booleans(),
)
def test_any_objects_are_read_in_any_form(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], form: str, indent: Any, is_json: bool
) -> None:
    directory = tmp_path_factory.getbasetemp()
    assert values(read_text(directory, forms(rows, indent)[form], ".json" if is_json else ".jsonl")) == rows


def test_rows_under_a_key_are_told_with_the_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = read_text(tmp_path, json.dumps({"data": [ROWS[0], "text"]}))
    assert [row.place for row in rows] == ["a.json:data[0]", "a.json:data[1]"]
    assert values(rows) == [ROWS[0], "not a JSON object but a text"]
    assert "a.json: one object; its rows are those under 'data'" in capsys.readouterr().err


def test_object_with_several_lists_is_told_their_keys(tmp_path: Path) -> None:
    for indent in INDENTS:
        with pytest.raises(InputError, match=r"a\.json is one object with lists under 'train', 'test'; write the one"):
            read_text(tmp_path, json.dumps({"train": ROWS, "test": ROWS}, indent=indent))


@pytest.mark.parametrize(
    ("text", "kind"),
    [("null", "null"), ("42", "a number"), ("-1.5", "a number"), ('"text"', "a text"), ("true", "true or false")],
)
def test_scalar_is_told_what_it_is(text: str, kind: str, tmp_path: Path) -> None:
    for content in (text, f"{text}\n", f"[{text}]"):
        assert values(read_text(tmp_path, content)) == [f"not a JSON object but {kind}"]
    lines = f"{json.dumps(ROWS[0])}\n{text}\n[1]\n{json.dumps(ROWS[1])}\n"
    said = [f"not a JSON object but {kind}", "not a JSON object but an array"]
    assert values(read_text(tmp_path, lines)) == [ROWS[0], *said, ROWS[1]]


@pytest.mark.parametrize("text", ["", "\n", " \n\t\n", "\ufeff", "[]", "[\n]\n"])
def test_file_without_rows_has_none(text: str, tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        assert read_text(tmp_path, text, suffix) == []


def test_arrays_in_lines_are_no_array(tmp_path: Path) -> None:
    assert values(read_text(tmp_path, "[1]\n[2]\n", ".jsonl")) == ["not a JSON object but an array"] * 2


GOOD = json.dumps(ROWS[0])


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ('{"messages": [1,]}', "a comma before a closing bracket?"),
        (GOOD + ",", "more text follows an object that has ended: ','"),
        (GOOD + GOOD, 'more text follows an object that has ended: \'{"messages"'),
        ('{"messages": [{"role": "user", "cont', "not JSON: Unterminated string"),
        ('{"messages": [', "not JSON: Expecting value"),
        ("{'messages': []}", "not JSON: Expecting property name"),
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_broken_line_spoils_only_itself_wherever_it_stands(place: int, broken: str, said: str, tmp_path: Path) -> None:
    lines = [GOOD, GOOD]
    lines.insert(place, broken)
    for suffix in SUFFIXES:
        found = values(read_text(tmp_path, "\n".join(lines), suffix))
        assert said in found.pop(place)
        assert found == [ROWS[0], ROWS[0]]


def test_comma_behind_the_last_element_is_told(tmp_path: Path) -> None:
    found = values(read_text(tmp_path, f"[{GOOD},\n]"))
    assert found == [ROWS[0], "not JSON: nothing stands between two commas, or behind the last one"]


def test_numbers_that_are_none_and_marks_between_joined_files_are_read(tmp_path: Path) -> None:
    rows = read_text(tmp_path, f'{{"score": NaN, "id": 1}}\n\ufeff{GOOD}\n', ".jsonl")
    assert isinstance(rows[0], RawRow)
    assert values(rows)[1] == ROWS[0]


def test_objects_that_end_too_early_are_named(tmp_path: Path) -> None:
    text = "\n".join(json.dumps(row, indent=2) for row in ROWS)
    with pytest.raises(InputError, match=r"a\.json ends inside its object 4; fetch it again"):
        read_text(tmp_path, text[:-2])


def test_object_over_several_lines_beyond_the_bound_spoils_only_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_texts, "MAX_ROW_BYTES", 400)
    long = {"messages": [{"role": "user", "content": "x" * 40}] * 10}
    text = "\n".join(json.dumps(row, indent=2) for row in (ROWS[0], long, ROWS[1]))
    first, broken, last = read_text(tmp_path, text)
    assert values([first, last]) == ROWS[:2]
    assert "the row has more than" in values([broken])[0]


def test_broken_first_line_spoils_no_other_however_long_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_texts, "MAX_ROW_BYTES", 400)
    rows = read_text(tmp_path, "\n".join(['{"messages": [', *[GOOD] * 9]), ".jsonl")
    assert values(rows)[1:] == [ROWS[0]] * 9
    assert isinstance(rows[0], Rejected)


def chat(directory: Path, path: str) -> list[str]:
    rows = chat_messages.read(open_directory(directory), path)
    return [row.reason if isinstance(row, Rejected) else row.messages[0].role for row in rows]


def test_role_that_is_a_number_is_told(tmp_path: Path) -> None:
    turns = [[{key: number, "content": "Who?"}] for key in ("role", "from") for number in (0, 1, 2.0)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"messages": one}) + "\n" for one in turns))
    found = chat(tmp_path, "a.jsonl")
    for number, reason in zip([0, 1, 2.0] * 2, found, strict=True):
        assert f"the role of messages[0] is {number!r} and not its name; where it is a ClassLabel" in reason
    pq.write_table(pa.Table.from_pylist([{"messages": turns[0]}]), tmp_path / "a.parquet")
    assert chat(tmp_path, "a.parquet") == found[:1]


def test_role_that_is_empty_gives_way_to_the_other_key(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"messages": [{"role": "", "from": "human", "value": "Who?"}]}))
    assert chat(tmp_path, "a.jsonl") == ["user"]
