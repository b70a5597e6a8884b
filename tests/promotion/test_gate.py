import json
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from storm_core.artifacts import open_directory, seal
from storm_core.cli import main
from storm_core.errors import InputError
from storm_core.execution import execute
from storm_core.manifest import MANIFEST_NAME
from storm_core.promotion.config import GATE, GateConfig
from storm_core.promotion.rules import load_rules, parse_rules
from tests.conftest import complaints


def gate(output: Path, evaluations: dict[str, list[str]], **options: Any) -> dict[str, Any]:
    execute(GATE, GateConfig(**options), inputs=evaluations, outputs={"decision": output}, value_files={})
    written: dict[str, Any] = json.loads((output / "decision.json").read_text())
    return written


def rules_of(decision: dict[str, Any]) -> dict[str, bool]:
    return {rule["name"]: rule["passed"] for rule in decision["rules"]}


def test_the_gate_passes_when_the_merged_model_is_the_best(tmp_path: Path, evaluations) -> None:
    decision = gate(tmp_path / "decision", evaluations())
    assert decision["passed"]
    assert list(rules_of(decision)) == [rule.name for rule in load_rules().rules]
    assert decision["means"]["merged"] == pytest.approx((13 + 10) / 40)
    assert decision["models"]["tuned"] == "digest-of-tuned"


def test_every_reason_carries_its_numbers(tmp_path: Path, evaluations) -> None:
    decision = gate(tmp_path / "decision", evaluations())
    reasons = {rule["name"]: rule["reason"] for rule in decision["rules"]}
    # sqrt((13 * 7 + 10 * 10) / 20^2 / 19) / 2 = 0.079 and so on; questions are paired, so +0.050 has a small error.
    assert reasons["merged_beats_tuned"] == "merged 0.575 ± 0.079 vs tuned 0.525 ± 0.080: +0.050 ± 0.035"
    assert reasons["no_benchmark_falls"].startswith(
        "Trivia: merged 0.500 ± 0.115 vs base 0.500 ± 0.115: +0.000 ± 0.000"
    )


@pytest.mark.parametrize(
    ("answered", "failing"),
    [
        ({"merged": (12, 9), "quantized": (12, 9)}, "merged_beats_tuned"),  # a tie is no win
        ({"sibling": (20, 10)}, "merged_beats_sibling"),
        ({"merged": (20, 2), "quantized": (20, 2)}, "no_benchmark_falls"),
        ({"quantized": (6, 4)}, "quantization_keeps_the_score"),
    ],
)
def test_a_gate_fails_for_one_rule_and_says_which(tmp_path: Path, evaluations, answered, failing: str) -> None:
    decision = gate(tmp_path / "decision", evaluations(answered))
    assert not decision["passed"]
    assert [name for name, passed in rules_of(decision).items() if not passed] == [failing]


def test_a_gate_that_does_not_open_is_no_failed_stage(tmp_path: Path, evaluations) -> None:
    answered = evaluations({"merged": (0, 0)})
    flags = [text for name, (path,) in answered.items() for text in (f"--{name.replace('_', '-')}", path)]
    assert main(["gate", *flags, "--decision", str(tmp_path / "decision")]) == 0
    assert not json.loads((tmp_path / "decision" / "decision.json").read_text())["passed"]
    assert open_directory(tmp_path / "decision").manifest.metrics["passed"] == 0


def test_more_standard_errors_forgive_a_fall(tmp_path: Path, evaluations) -> None:
    fallen = evaluations({"merged": (20, 7), "quantized": (20, 7)})  # trivia: 3 of 20 lost, 1.8 standard errors
    assert not rules_of(gate(tmp_path / "strict", fallen, standard_errors=1.0))["no_benchmark_falls"]
    assert rules_of(gate(tmp_path / "lenient", fallen, standard_errors=2.0))["no_benchmark_falls"]


def test_the_tolerance_of_quantization_is_that_of_the_options(tmp_path: Path, evaluations) -> None:
    lost = evaluations({"quantized": (9, 10)})  # 4 of 40
    strict = gate(tmp_path / "strict", lost, standard_errors=0.0, quantized_tolerance=0.09)
    lenient = gate(tmp_path / "lenient", lost, standard_errors=0.0, quantized_tolerance=0.11)
    assert not rules_of(strict)["quantization_keeps_the_score"]
    assert rules_of(lenient)["quantization_keeps_the_score"]


def test_a_sibling_that_is_the_base_model_is_called_so(tmp_path: Path, evaluations) -> None:
    same = evaluations({"sibling": (4, 10)}, digests={"base": "one", "sibling": "one"})
    texts = {rule["name"]: rule["text"] for rule in gate(tmp_path / "decision", same)["rules"]}
    assert texts["merged_beats_sibling"].endswith("Here the sibling is the base model itself.")
    assert [name for name, text in texts.items() if "itself" in text] == ["merged_beats_sibling"]


def test_the_decision_names_the_rules_it_applied(tmp_path: Path, evaluations) -> None:
    decision = gate(tmp_path / "decision", evaluations(), standard_errors=1.5)
    content = files("storm_core.promotion").joinpath("rules.yaml").read_bytes()
    assert decision["rules_sha256"] == sha256(content).hexdigest()
    assert decision["options"] == {"standard_errors": 1.5, "quantized_tolerance": 0.02}
    assert "1.5 standard errors" in decision["rules"][3]["text"]


def test_the_same_evaluations_give_the_same_bytes(tmp_path: Path, evaluations) -> None:
    gate(tmp_path / "one", evaluations())
    gate(tmp_path / "two", evaluations())
    assert (tmp_path / "one/decision.json").read_bytes() == (tmp_path / "two/decision.json").read_bytes()


def test_evaluations_on_different_suites_are_one_line_of_error(tmp_path: Path, evaluations, capsys) -> None:
    references = evaluations()
    altered = tmp_path / "altered"
    altered.mkdir()
    source = Path(references["tuned_evaluation"][0])
    results = json.loads((source / "results.json").read_text()) | {"suite_sha256": "6" * 64}
    (altered / "results.json").write_text(json.dumps(results))
    (altered / "samples.parquet").write_bytes((source / "samples.parquet").read_bytes())
    seal(altered, "evaluation", producer={}, inputs={}, metrics={})
    references["tuned_evaluation"] = [str(altered)]
    flags = [text for name, (path,) in references.items() for text in (f"--{name.replace('_', '-')}", path)]
    assert main(["gate", *flags, "--decision", str(tmp_path / "decision")]) == 1
    (line,) = complaints(capsys.readouterr().err)
    assert "tuned was evaluated with suite_sha256" in line
    assert not (tmp_path / "decision").exists()


@pytest.mark.parametrize("value", [1.5, -0.1, float("nan"), "much"])
def test_a_score_outside_of_zero_to_one_is_refused(tmp_path: Path, evaluations, value: object) -> None:
    references = evaluations()
    path = Path(references["base_evaluation"][0])
    results = json.loads((path / "results.json").read_text())
    results["benchmarks"][0]["value"] = value
    (path / "results.json").write_text(json.dumps(results))
    (path / MANIFEST_NAME).unlink()
    with pytest.raises(InputError, match="is not what evaluate writes"):
        gate(tmp_path / "decision", references)


def test_a_rule_about_an_unknown_model_is_refused() -> None:
    content = files("storm_core.promotion").joinpath("rules.yaml").read_bytes()
    with pytest.raises(ValueError, match="'champion' is not one of base, sibling"):
        parse_rules(content.replace(b"reference: tuned", b"reference: champion"))
