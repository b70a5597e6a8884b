"""A reader that goes, a stream that is closed, a log without room: no traceback, and the work goes on."""

import io
import subprocess
import sys
from pathlib import Path

import pytest

from storm_core.standard_streams import LossyStream, NamedOutput

ROOT = Path(__file__).parents[2]


@pytest.fixture
def store(tmp_path: Path) -> str:
    for number in range(3):
        directory = tmp_path / str(number)
        directory.mkdir()
        (directory / "file").write_text(str(number))
        code = "from storm_core.artifact_commands.transfer import push; push({!r}, {!r}, 'model')"
        uri = (tmp_path / "store").as_uri()
        subprocess.run([sys.executable, "-c", code.format(str(directory), uri)], check=True, cwd=ROOT)
    return uri


def shell(line: str, store: str) -> "subprocess.CompletedProcess[str]":
    command = line.format(
        storm=f"{sys.executable} -m storm_core", store=store, pipelines=f"{sys.executable} -m pipelines"
    )
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, cwd=ROOT)


@pytest.mark.parametrize(
    ("line", "out", "errors"),
    [
        ("{{ sleep 1; {storm} artifact ls {store}; echo $? >&2; }} | true", "", "141\n"),
        ("{{ sleep 1; {storm} --help; echo $? >&2; }} | true", "", "0\n"),
        ("{{ sleep 1; {pipelines} run --help; echo $? >&2; }} | true", "", "0\n"),
        ("{storm} artifact ls {store} >/dev/full; echo $?", "1\n", "storm artifact: error: No space left on device: "),
        ("{storm} artifact verify file:///nowhere 2>&-; echo $?", "1\n", ""),
        ("{storm} artifact ls {store} 2>/dev/full | wc -l", "4\n", ""),
        ("{storm} artifact ls {store} >&-; echo $?", "0\n", ""),
        ("{storm} artifact ls {store} 2>&- <&- | wc -l", "4\n", ""),
    ],
)
def test_closed_streams_are_no_defect(line: str, out: str, errors: str, store: str) -> None:
    finished = shell(line, store)
    assert finished.stdout.endswith(out)
    assert finished.stderr.startswith(errors) and finished.stderr.count("\n") <= 1


@pytest.mark.parametrize("stream", [NamedOutput, LossyStream])
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
@pytest.mark.parametrize("name", ["ordner-\u00fc", "\udcff\udcfe", "\u4e2d", "plain"])
def test_name_that_an_encoding_lacks_is_written_all_the_same(stream: type, encoding: str, name: str) -> None:
    behind = io.BytesIO()
    with io.TextIOWrapper(behind, encoding=encoding, errors="strict") as text:
        stream(text).write(f"{name}\n")
        text.flush()
        written = behind.getvalue().decode(encoding)
    assert written in (f"{name}\n", name.encode("ascii", "backslashreplace").decode() + "\n")
