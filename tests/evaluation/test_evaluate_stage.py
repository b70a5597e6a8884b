"""`storm evaluate` on a tiny model and a suite of its own."""

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from storm_core.cli import main


def evaluate(model: Path, data: Path, output: Path, suite: str = "suite.yaml") -> int:
    return main(["evaluate", f"--model={model}", f"--data={data}", f"--evaluation={output}", f"--suite={suite}"])


def test_results_and_samples_agree_and_come_out_the_same_twice(
    tiny_llama: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert evaluate(tiny_llama, data, first) == 0
    assert evaluate(tiny_llama, data, second) == 0
    for name in ("results.json", "samples.parquet"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    results = json.loads((first / "results.json").read_text(encoding="utf-8"))
    rows = pq.read_table(first / "samples.parquet").to_pylist()
    assert results["suite"] == "suite"
    assert results["dtype"] == "float32"
    assert [benchmark["name"] for benchmark in results["benchmarks"]] == ["calls", "trivia"]
    for benchmark in results["benchmarks"]:
        verdicts = [row["correct"] for row in rows if row["benchmark"] == benchmark["name"]]
        assert benchmark["samples"] == len(verdicts)
        assert benchmark["value"] == pytest.approx(sum(verdicts) / len(verdicts))
        assert 0 <= benchmark["stderr"] <= 1
    assert "<tools>" in rows[0]["prompt"]
    manifest = json.loads((first / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["kind"] == "evaluation"
    assert {"calls", "calls_stderr", "calls_well_formed", "trivia"} <= set(manifest["metrics"])
    assert "trivia: acc" in capsys.readouterr().err


def test_a_changed_suite_file_is_run_anew(tiny_llama: Path, data: Path, suite: dict[str, Any], tmp_path: Path) -> None:
    only_trivia = {**suite, "benchmarks": suite["benchmarks"][1:]}
    (data / "suite.yaml").write_text(yaml.safe_dump(only_trivia), encoding="utf-8")
    output = tmp_path / "evaluation"
    assert evaluate(tiny_llama, data, output) == 0
    digest = json.loads((output / "manifest.json").read_text(encoding="utf-8"))["digest"]
    fewer = json.loads(json.dumps(only_trivia))
    fewer["benchmarks"][0]["questions"]["samples"] = 4
    (data / "suite.yaml").write_text(yaml.safe_dump(fewer), encoding="utf-8")
    assert evaluate(tiny_llama, data, output) == 0
    assert json.loads((output / "manifest.json").read_text(encoding="utf-8"))["digest"] != digest


def test_bad_input_is_one_line_and_leaves_nothing(
    tiny_llama: Path, data: Path, suite: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mute = tmp_path / "mute"
    shutil.copytree(tiny_llama, mute)
    (mute / "chat_template.jinja").unlink()
    no_answers = json.loads(json.dumps(suite))
    no_answers["benchmarks"][0]["categories"] = ["multiple"]
    (data / "no_answers.yaml").write_text(yaml.safe_dump(no_answers), encoding="utf-8")
    no_path = json.loads(json.dumps(suite))
    no_path["benchmarks"][0]["path"] = "nowhere"
    (data / "no_path.yaml").write_text(yaml.safe_dump(no_path), encoding="utf-8")
    no_choice = json.loads(json.dumps(suite))
    no_choice["benchmarks"][1]["questions"]["definition"]["doc_to_target"] = "gold"
    (data / "no_choice.yaml").write_text(yaml.safe_dump(no_choice), encoding="utf-8")
    too_many = json.loads(json.dumps(suite))
    too_many["benchmarks"][1]["questions"]["samples"] = 10_000
    (data / "too_many.yaml").write_text(yaml.safe_dump(too_many), encoding="utf-8")
    output = tmp_path / "evaluation"
    for model, suite_name, message in [
        (mute, "no_choice.yaml", "trivia: definition: question 1 ("),
        (mute, "too_many.yaml", "trivia, questions: 10000 questions are asked for"),
        (tiny_llama, "vibes", "use one of article, smoke"),
        (tiny_llama, "no_answers.yaml", "BFCL_v4_multiple.json"),
        (tiny_llama, "no_path.yaml", "nowhere"),
        (mute, "suite.yaml", "has no chat template"),
    ]:
        assert evaluate(model, data, output, suite_name) == 1
        (line,) = (text for text in capsys.readouterr().err.splitlines() if "error" in text)
        assert line.startswith("storm evaluate: error: ")
        assert message in line
        assert not output.exists()
