"""The first lines of a task: what it does, on what, with which options."""

from pathlib import Path

from storm_core.artifacts import seal
from storm_core.evaluation.config import EVALUATE, EvaluateConfig
from storm_core.introduction import bytes_in_words, introduce
from storm_core.reporting.config import REPORT, ReportConfig


def sealed(directory: Path, kind: str, size: int = 1500) -> str:
    directory.mkdir()
    (directory / "weights").write_bytes(b"w" * size)
    return seal(directory, kind, producer={}, inputs={}, metrics={}).digest


def test_inputs_are_told_by_kind_digest_and_size_and_options_where_they_differ(tmp_path: Path) -> None:
    digest = sealed(tmp_path / "model", "model")
    references = {"model": [str(tmp_path / "model")], "data": ["s3://models/storm/data"]}
    lines = introduce("evaluate-base", EVALUATE, EvaluateConfig(suite="article"), references)
    assert lines == [
        f"evaluate-base: starts  suite=article  model: model {digest[:12]}, 1.5 kB  data: s3://models/storm/data"
    ]


def test_of_many_artifacts_their_number_and_size_are_told(tmp_path: Path) -> None:
    for shard in range(3):
        sealed(tmp_path / str(shard), "verdicts", size=2_000_000)
    references = {"verdicts": [str(tmp_path / str(shard)) for shard in range(3)]}
    (line,) = introduce("report", REPORT, ReportConfig(), references)
    assert line == "report: starts  verdicts: 3 artifacts of kind verdicts, 6.0 MB"


def test_no_line_is_long_whatever_inputs_are_called(tmp_path: Path) -> None:
    references = {f"input{number}": ["s3://bucket/" + "x" * 300] for number in range(5)}
    lines = introduce("report", REPORT, ReportConfig(title="y" * 300), references)
    assert len(lines) == 6
    assert all(len(line) < 160 and line.startswith("report: starts  ") for line in lines)


def test_what_is_wrong_with_an_input_is_left_to_its_opening(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{")
    (line,) = introduce("evaluate", EVALUATE, EvaluateConfig(), {"model": [str(tmp_path)], "data": []})
    assert line == f"evaluate: starts  model: {tmp_path}"


def test_sizes_are_told_in_the_unit_that_fits() -> None:
    assert [bytes_in_words(size) for size in (999, 1234, 16_060_000_000)] == ["999 bytes", "1.2 kB", "16.1 GB"]
