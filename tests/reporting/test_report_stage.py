import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from storm_core.artifacts import open_directory
from storm_core.cli import main
from storm_core.errors import InputError
from storm_core.execution import execute
from storm_core.manifest import MANIFEST_NAME
from storm_core.reporting.config import REPORT, ReportConfig
from tests.reporting.conftest import hold_out

SECTIONS = ("results", "gate", "curation", "judge", "scan", "training", "benchmarks", "registry", "lineage")
FIGURES = ("funnel", "scores", "snr", "loss", "benchmarks")
VOID = {"meta", "br", "link", "img", "input", "hr"}


class Page(HTMLParser):
    """Elements, ids, references and text of a page; checks that every element is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: Counter[str] = Counter()
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        for name, value in attrs:
            assert not name.startswith("on"), f"a script in {name}"
            if name == "id":
                self.ids.append(value or "")
            if name in ("src", "href", "xlink:href", "aria-labelledby"):
                self.links += (value or "").split()
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def write_report(output: Path, inputs: dict[str, list[str]], **options: Any) -> str:
    execute(REPORT, ReportConfig(**options), inputs=inputs, outputs={"report": output}, value_files={})
    return (output / "report.html").read_text(encoding="utf-8")


def words(html: str) -> str:
    return " ".join(" ".join(Page(html).text).split())


def edit(directory: Path, name: str, change: Callable[[Any], None]) -> None:
    """Change a JSON file of an artifact; the directory is then a foreign one, without manifest."""
    content = json.loads((directory / name).read_text())
    change(content)
    (directory / name).write_text(json.dumps(content))
    (directory / MANIFEST_NAME).unlink()


def test_the_page_has_every_section_and_every_figure(tmp_path: Path, run_inputs) -> None:
    page = Page(write_report(tmp_path / "report", run_inputs))
    assert [id for id in page.ids if id in SECTIONS] == list(SECTIONS)
    assert page.tags["svg"] == len(FIGURES)
    assert page.tags["script"] == page.tags["img"] == page.tags["link"] == 0


def test_every_figure_has_a_title_and_a_description(tmp_path: Path, run_inputs) -> None:
    page = Page(write_report(tmp_path / "report", run_inputs))
    for name in FIGURES:
        assert {f"{name}-title", f"{name}-description"} <= set(page.ids)
        assert {f"{name}-title", f"{name}-description"} <= set(page.links)


def test_ids_are_unique_and_every_reference_stays_in_the_page(tmp_path: Path, run_inputs) -> None:
    html = write_report(tmp_path / "report", run_inputs)
    page = Page(html)
    assert [id for id, count in Counter(page.ids).items() if count > 1] == []
    references = {link.removeprefix("#") for link in page.links} | set(re.findall(r"url\(#([^)]+)\)", html))
    assert references <= set(page.ids)
    addresses = set(re.findall(r"https?://[^\s\"'<]+", html))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert "@import" not in html


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path, run_inputs) -> None:
    for name in ("one", "two"):
        write_report(tmp_path / name, run_inputs)
    for file in ("report.html", "results.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_results_hold_the_numbers_of_the_inputs(tmp_path: Path, run_inputs) -> None:
    write_report(tmp_path / "report", run_inputs)
    results = json.loads((tmp_path / "report/results.json").read_text())
    decision = json.loads((Path(run_inputs["decision"][0]) / "decision.json").read_text())
    assert results["decision"] == decision
    assert results["evaluations"]["merged"]["benchmarks"][0]["value"] == pytest.approx(27 / 40)
    assert results["verdicts"]["rubrics"]["educational_value"]["total"]["verdicts"] == 210
    assert results["funnel"]["reasons"][-2:] == ["low_educational_value", "too_easy"]
    assert results["training"]["freezing"]["proof"] == {"frozen_unchanged": 3, "frozen_changed": 0}
    assert len(results["scan"]["matrices"]) == 19
    assert results["lineage"]["scan"][0]["digest"] == open_directory(Path(run_inputs["scan"][0])).digest
    assert set(results["lineage"]) == set(REPORT.inputs)


def test_the_page_shows_scores_decision_and_versions(tmp_path: Path, run_inputs) -> None:
    text = words(write_report(tmp_path / "report", run_inputs, title="Tuesday's run"))
    assert text.startswith("Tuesday's run")
    for shown in ("The gate passed", "67.5 ± 7.5", "5 of 5 rules hold", "s3://store/model/mmm", "champion"):
        assert shown in text
    assert "Frozen weights unchanged. All 3 frozen tensors" in text


def test_a_gate_that_did_not_pass_is_told_with_its_rules(tmp_path: Path, run_inputs) -> None:
    def fail(decision: dict[str, Any]) -> None:
        decision["passed"] = decision["rules"][1]["passed"] = False

    edit(Path(run_inputs["decision"][0]), "decision.json", fail)
    text = words(write_report(tmp_path / "report", run_inputs))
    assert "The gate did not pass" in text
    assert "Not held: merged beats tuned." in text


def test_a_sibling_that_is_the_base_model_is_shown_once(tmp_path: Path, run_inputs, make_run) -> None:
    both = Page(write_report(tmp_path / "two", run_inputs))
    once = Page(write_report(tmp_path / "one", make_run(sibling="b" * 64)))
    assert "is the base model itself in this run" in " ".join(once.text)
    assert "base = sibling" in once.text
    assert "base = sibling" not in both.text
    assert once.tags["td"] < both.tags["td"]


def test_what_the_data_says_is_text_and_never_markup(tmp_path: Path, make_run) -> None:
    name = "<script>alert('$x$')</script>&"
    html = write_report(tmp_path / "report", make_run(sources={name: 40, "plain": 20}), title="<b>bold</b>")
    page = Page(html)
    assert page.tags["script"] == page.tags["b"] == 0
    assert name in page.text
    assert "<b>bold</b>" in page.text
    assert "&lt;script&gt;" in html


def test_a_broken_proof_of_freezing_is_told(tmp_path: Path, run_inputs) -> None:
    def change(freezing: dict[str, Any]) -> None:
        freezing["tensors"]["model.layers.1.weight"]["sha256_after"] = "other"

    edit(Path(run_inputs["training"][0]), "freezing.json", change)
    text = words(write_report(tmp_path / "report", run_inputs))
    assert "Frozen weights changed: 1 frozen tensors have another SHA-256" in text


def test_report_tells_which_examples_were_left_out_of_training(tmp_path: Path, run_inputs) -> None:
    text = words(write_report(tmp_path / "report", run_inputs))
    assert "Of 70 examples selected for training, 9 were left out: 7 too long, 2 left out by chat template." in text
    assert "selected for validation" not in text


def test_report_tells_what_was_forgotten_where_text_was_held_out(tmp_path: Path, run_inputs) -> None:
    assert "text that is not trained on" not in words(write_report(tmp_path / "report", run_inputs))
    edit(Path(run_inputs["training"][0]), "history.json", hold_out)
    text = words(write_report(tmp_path / "held out", run_inputs))
    assert "On text that is not trained on, the loss went from 2.1250 to 2.2500 nats a token" in text


def test_odd_but_possible_inputs_are_drawn(tmp_path: Path, run_inputs) -> None:
    def infinite(scan: dict[str, Any]) -> None:
        for matrix, snr in zip(scan["matrices"], ["Infinity", "Infinity", 0.0], strict=False):
            matrix["snr"] = snr

    def single(history: dict[str, Any]) -> None:
        history["train"], history["validation"] = history["train"][:1], []

    def empty_source(funnel: dict[str, Any]) -> None:
        nothing = {"read": 0, "dropped": dict.fromkeys(funnel["total"]["dropped"], 0), "train": 0, "validation": 0}
        funnel["sources"]["empty"] = nothing

    def no_error(results: dict[str, Any]) -> None:
        results["benchmarks"][0]["stderr"] = None

    edit(Path(run_inputs["scan"][0]), "scan.json", infinite)
    edit(Path(run_inputs["training"][0]), "history.json", single)
    edit(Path(run_inputs["selection"][0]), "funnel.json", empty_source)
    edit(Path(run_inputs["tuned_evaluation"][0]), "results.json", no_error)
    assert "empty (0)" in Page(write_report(tmp_path / "report", run_inputs)).text


def test_a_scan_without_a_single_finite_ratio_is_drawn(tmp_path: Path, run_inputs) -> None:
    def infinite(scan: dict[str, Any]) -> None:
        for matrix in scan["matrices"]:
            matrix["snr"] = "Infinity"

    edit(Path(run_inputs["scan"][0]), "scan.json", infinite)
    assert "mlp.down_proj" in Page(write_report(tmp_path / "report", run_inputs)).text


def test_a_number_that_is_not_finite_is_refused_wherever_it_is(tmp_path: Path, run_inputs) -> None:
    edit(Path(run_inputs["decision"][0]), "decision.json", lambda decision: decision.update(more=[float("-inf")]))
    with pytest.raises(InputError, match=r"decision\.json is not what its stage writes: .* not JSON compliant"):
        write_report(tmp_path / "report", run_inputs)


def test_a_foreign_directory_in_place_of_verdicts_is_one_line_of_error(tmp_path: Path, run_inputs, capsys) -> None:
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "verdicts.parquet").write_text("no parquet")
    references = {**run_inputs, "verdicts": [str(foreign)]}
    flags = [text for name, paths in references.items() for p in paths for text in (f"--{name.replace('_', '-')}", p)]
    capsys.readouterr()
    assert main(["report", *flags, "--report", str(tmp_path / "report")]) == 1
    *starts, line = capsys.readouterr().err.splitlines()
    assert all(start.startswith("storm report: starts") for start in starts)
    assert "is not a Parquet file of verdicts" in line
    assert not (tmp_path / "report").exists()


def test_the_command_line_writes_the_report(tmp_path: Path, run_inputs) -> None:
    flags = [text for name, paths in run_inputs.items() for p in paths for text in (f"--{name.replace('_', '-')}", p)]
    assert main(["report", *flags, "--report", str(tmp_path / "report"), "--title", "A title"]) == 0
    assert open_directory(tmp_path / "report").manifest.metrics["examples_read"] == 210


def test_an_evaluation_of_another_suite_is_refused(tmp_path: Path, run_inputs) -> None:
    altered = tmp_path / "altered"
    shutil.copytree(run_inputs["tuned_evaluation"][0], altered)
    edit(altered, "results.json", lambda results: results.update(suite="another"))
    with pytest.raises(InputError, match="tuned was evaluated with suite 'another'"):
        write_report(tmp_path / "report", {**run_inputs, "tuned_evaluation": [str(altered)]})
