"""The page of every stage: what it tells, that it needs nothing else, and what happens where it cannot be drawn."""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from storm_core.cli import main
from storm_core.manifest import read_manifest
from storm_core.pages import page as page_module
from storm_core.pages.curation import condensed
from storm_core.pages.finished import Finished
from storm_core.pages.page import MAX_BYTES, PARTS, render_page
from storm_core.stages import STAGES, load_stage
from tests.pages.samples import HOSTILE, LEDGER, MARKUP, OUTPUTS, hostile, sample
from tests.reporting.conftest import hold_out, make_scan, make_selection, sealed

WRITE_NO_MODEL = set(STAGES) - {"fetch", "merge"}
VOID = {"meta", "base", "br"}


class Parsed(HTMLParser):
    """Elements and text of a page whose every element is closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(page)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert not [name for name, _ in attrs if name.startswith("on")]
        self.tags.append(tag)
        self.text += " "
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_every_stage_has_a_page_of_its_own_where_there_is_more_to_see_than_numbers() -> None:
    assert set(PARTS) == WRITE_NO_MODEL
    assert set(OUTPUTS) == set(STAGES)


@pytest.mark.parametrize("verb", STAGES)
def test_page_tells_what_ran_on_what_and_what_it_wrote(verb: str, tmp_path: Path) -> None:
    finished = sample(verb, tmp_path, name=f"{verb}-base")
    page = render_page(finished)
    text = " ".join(Parsed(page).text.split())
    for name, manifest in finished.outputs.items():
        assert manifest.digest in text
        assert finished.references[name] in text
        assert load_stage(verb).outputs[name].help in text
    assert "took 1 min 23 s" in text
    assert "bbbbbbbbbbbb" in text
    assert "kept fraction 0.1235" in text or "relative error 0.026" in text
    if verb not in ("audit", "report"):
        assert f"<h1>{verb}-base</h1>" in page
        assert load_stage(verb).summary.replace("'", "&#39;") in page


@pytest.mark.parametrize("verb", STAGES)
def test_page_is_small_and_needs_nothing_else(verb: str, tmp_path: Path) -> None:
    page = render_page(sample(verb, tmp_path))
    assert len(page.encode()) < MAX_BYTES / 5
    assert not {"script", "link", "img", "iframe", "object", "form"} & set(Parsed(page).tags)
    assert re.findall(r"""(?:src|href)\s*=\s*["']?(?!#)[^"'>]+|url\((?!#)[^)]*\)|@import""", page) == []
    assert "default-src 'none'" in page or verb in ("report", "audit")


@pytest.mark.parametrize("verb", HOSTILE)
def test_names_become_no_markup(verb: str, tmp_path: Path) -> None:
    parsed = Parsed(render_page(hostile(verb, tmp_path)))
    assert "img" not in parsed.tags
    assert MARKUP in parsed.text


def test_figure_shows_what_came_out(tmp_path: Path) -> None:
    def text(verb: str) -> str:
        return " ".join(Parsed(render_page(sample(verb, tmp_path))).text.split())

    assert "48 of 96 matrices" in text("scan")
    assert "113 are for training and 12 for validation" in text("select")
    assert "180 are kept" in text("prepare")
    assert "BFCL simple (Python) accuracy 67.5 ± 7.5 40" in text("evaluate")
    assert "The validation loss went from 2.750 to" in text("train")
    assert "1 of 2 rules hold. The merged model may not be promoted." in text("gate")
    assert "candidate champion" in text("register")
    assert "16.0 GB" in text("quantize")
    assert "105 examples were asked about" in text("score")


def test_training_shows_a_curve_of_each_quantity(tmp_path: Path) -> None:
    text = Parsed(render_page(sample("train", tmp_path))).text
    for title in ("Training and validation loss by step", "Learning rate by step", "Norm of the gradient by step"):
        assert title in text


def test_training_shows_what_was_forgotten_where_text_was_held_out(tmp_path: Path) -> None:
    def text() -> str:
        return " ".join(Parsed(render_page(run)).text.split())

    run = sample("train", tmp_path)
    assert "text that is not trained on" not in text()
    file = tmp_path / "train" / "training" / "history.json"
    history = json.loads(file.read_text())
    hold_out(history)
    file.write_text(json.dumps(history))
    assert "On text that is not trained on, the loss went from 2.125 to 2.250 nats a token." in text()


def test_result_that_is_used_again_has_the_same_page_and_says_so(tmp_path: Path) -> None:
    new, again = render_page(sample("scan", tmp_path)), render_page(sample("scan", tmp_path, reused=True))
    (line,) = [line for line in again.splitlines() if line not in new.splitlines()]
    assert "its result was used again" in line


def test_page_of_a_stage_in_a_store_needs_no_file_but_its_own(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STORM_STORE", (tmp_path / "store").as_uri())
    pages = [tmp_path / "pages" / f"{number}.html" for number in range(2)]
    for page in pages:
        assert main(["scan", f"--model={tiny_llama}", f"--scan={tmp_path / 'scan'}", f"--page={page}"]) == 0
    manifest = read_manifest(tmp_path / "scan" / "manifest.json")
    assert all(f"<code>{manifest.uri}</code>" in page.read_text() for page in pages)
    assert "used again" in pages[1].read_text()
    assert "no figure" not in capsys.readouterr().err
    others = [entry.path for entry in manifest.files if entry.path != "scan.json"]
    directory = tmp_path / "store" / "scan" / manifest.digest
    for name in others:
        (directory / name).unlink()
    finished = sample("scan", tmp_path, outputs={"scan": manifest}, references={"scan": manifest.uri})
    assert "<svg" in render_page(finished)
    (directory / "scan.json").write_text("{}")
    assert "The figure is missing" in render_page(finished)


def test_weights_of_a_model_are_never_read(tmp_path: Path) -> None:
    for verb in ("fetch", "train", "merge", "quantize"):
        finished = sample(verb, tmp_path)
        for directory in finished.references.values():
            (Path(directory) / "model.safetensors").unlink(missing_ok=True)
        assert "The figure is missing" not in render_page(finished)


def test_page_says_why_it_has_no_figure_and_the_stage_counts_as_done(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.html"
    monkeypatch.setitem(PARTS, "scan", "tests.pages.test_pages:unreadable")
    assert main(["scan", f"--model={tiny_llama}", f"--scan={tmp_path / 'scan'}", f"--page={page}"]) == 0
    assert "the page has no figure: [Errno 5] gone: 'scan.json'" in capsys.readouterr().err
    assert "[Errno 5] gone" in page.read_text()
    assert "What it wrote" in page.read_text()


def unreadable(outputs: object) -> None:
    raise OSError(5, "gone", "scan.json")


def test_page_that_can_be_known_to_have_no_place_is_refused_before_the_work(
    tiny_llama: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    page = tmp_path / "file" / "page.html"
    assert main(["scan", f"--model={tiny_llama}", f"--scan={tmp_path / 'scan'}", f"--page={page}"]) == 1
    assert f"{page} cannot be made" in capsys.readouterr().err
    assert not (tmp_path / "scan").exists()


def test_page_that_cannot_be_written_is_a_line_and_the_stage_counts_as_done(
    tiny_llama: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "pages" / "page.html"

    def block(finished: Finished) -> str:
        page.parent.touch()
        return render_page(finished)

    monkeypatch.setattr("storm_core.pages.page.render_page", block)
    assert main(["scan", f"--model={tiny_llama}", f"--scan={tmp_path / 'scan'}", f"--page={page}"]) == 0
    assert "no page was written: File exists" in capsys.readouterr().err
    assert (tmp_path / "scan" / "manifest.json").is_file()


def test_defect_of_a_page_is_not_hidden(tmp_path: Path) -> None:
    finished = sample("scan", tmp_path)
    sealed(tmp_path / "scan", "scan", {"scan.json": {}})
    with pytest.raises(KeyError):
        render_page(finished)


def test_page_over_the_limit_has_no_figure_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(page_module, "MAX_BYTES", 20_000)
    page = render_page(sample("scan", tmp_path))
    assert len(page) < 20_000
    assert "<svg" not in page
    assert "with it the page has 0.1 MB" in page
    assert "the page has no figure" in capsys.readouterr().err


def test_page_of_a_large_model_s_scan_is_within_the_limit(tmp_path: Path) -> None:
    finished = sample("scan", tmp_path)
    make_scan(tmp_path / "scan", layers=126)
    assert len(render_page(finished)) < MAX_BYTES / 3


def test_of_very_many_sources_the_largest_are_shown_and_the_others_together(tmp_path: Path) -> None:
    finished = sample("select", tmp_path)
    make_selection(tmp_path / "select", {f"source-{number:04d}": 12 + number for number in range(1000)})
    page = render_page(finished)
    assert len(page) < MAX_BYTES / 3
    assert "source-0999" in page
    assert "961 others" in page
    shown = condensed({f"{number}": LEDGER["sources"]["chat"] for number in range(1000)})
    assert sum(row["read"] for row in shown.values()) == 120 * 1000


def test_what_a_page_needs_is_asked_for_before_the_stage_runs(tmp_path: Path) -> None:
    arguments = ["scan", "--model", "/nowhere", "--scan", str(tmp_path / "scan"), "--page", str(tmp_path / "page")]
    code = f"import sys; sys.modules['jinja2'] = None\nfrom storm_core.cli import main\nsys.exit(main({arguments}))"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert finished.returncode == 1
    assert finished.stderr.endswith("error: --page needs jinja2; install 'storm-kubeflow[report]'\n")


def test_without_matplotlib_the_judge_s_page_is_whole_and_others_say_what_to_install(tmp_path: Path) -> None:
    code = f"""
import sys; sys.modules['matplotlib'] = None
from pathlib import Path
from storm_core.pages.page import render_page
from tests.pages.samples import sample
for verb in ("score", "evaluate", "scan"):
    print(verb, "The figure is missing" in render_page(sample(verb, Path({str(tmp_path)!r}))))
"""
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert finished.stdout.split() == ["score", "False", "evaluate", "False", "scan", "True"]
    assert "Matplotlib is not installed; install 'storm-kubeflow[report]'" in finished.stderr
