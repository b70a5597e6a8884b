"""Results show themselves: in a console as text, in a notebook as HTML in which nothing but the table is markup."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

import storm_core as storm
from storm_core.library.display import ROWS_SHOWN, Displayed, Panel, bytes_in_words, cut, number_in_words
from storm_core.library.scan import Matrix, Scan

HOSTILE = "<script>alert('&\"')</script>"


class Page(HTMLParser):
    """The tags and the text of a piece of HTML."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.cells: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.cells.append(data)


def page_of(result: Displayed) -> Page:
    page = Page(result._repr_html_())
    assert set(page.tags) <= {"div", "p", "table", "thead", "tbody", "tr", "th", "td"}
    return page


def test_hostile_names_and_texts_are_shown_as_they_are(tiny_llama: Path, tmp_path: Path) -> None:
    matrix = Matrix(module=HOSTILE, type=HOSTILE, layer=0, shape=(1, 1), snr=1.0, unfrozen=True)
    metrics = {"unfrozen_parameters_fraction": 1.0}
    scan = Scan(matrices=(matrix,), unfrozen_percent=50.0, unfrozen_parameters="", metrics=metrics)
    assert HOSTILE in page_of(scan).cells
    talk = [{"role": "user", "content": HOSTILE}, {"role": "assistant", "content": HOSTILE}]
    assert HOSTILE in page_of(storm.score(tiny_llama, [talk])).cells
    model = storm.fetch(tiny_llama, tmp_path / HOSTILE.replace("/", ""))
    assert "<script>alert" in page_of(model).cells[0]


def test_hostile_name_in_a_checkpoint_is_shown_as_it_is(tiny_llama: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_llama, tmp_path / "model")
    tensors = load_file(tmp_path / "model/model.safetensors")
    for name in [name for name in tensors if name.endswith(".mlp.up_proj.weight")]:
        tensors[name.replace("mlp.up_proj", "<script>")] = tensors[name].clone()
    save_file(tensors, tmp_path / "model/model.safetensors", metadata={"format": "pt"})
    # Of an architecture whose tensors are not known by name.
    config = json.loads((tmp_path / "model/config.json").read_text())
    (tmp_path / "model/config.json").write_text(json.dumps({**config, "model_type": "olmo"}))
    assert "<script>" in page_of(storm.scan(tmp_path / "model")).cells


def test_scan_shows_what_is_trained_of_each_type(tiny_llama: Path) -> None:
    scan = storm.scan(tiny_llama)
    lines = repr(scan).splitlines()
    assert re.fullmatch(
        r"Scan of 14 matrices: 7 to train \(unfrozen_percent 50\); .* \d\d\.\d% of the weights", lines[0]
    )
    (queries,) = [line.split() for line in lines if "self_attn.q_proj" in line]
    (trained,) = [matrix for matrix in scan.matrices if matrix.unfrozen and matrix.type == "self_attn.q_proj"]
    assert queries[1:4] == ["1", "of", "2"]
    assert queries[-1] == str(trained.layer)
    assert float(queries[-2]) == pytest.approx(trained.snr, rel=1e-3)


def test_layers_are_shown_as_runs() -> None:
    matrices = tuple(
        Matrix(module=f"m{layer}", type="q", layer=layer, shape=(1, 1), snr=1.0, unfrozen=layer in (0, 1, 2, 5, 7, 8))
        for layer in range(10)
    )
    metrics = {"unfrozen_parameters_fraction": 0.5}
    scan = Scan(matrices=matrices, unfrozen_percent=60.0, unfrozen_parameters="", metrics=metrics)
    assert "0-2, 5, 7-8" in page_of(scan).cells


def test_model_shows_size_stage_and_metrics_in_their_units(tiny_llama: Path, tmp_path: Path) -> None:
    text = repr(storm.quantize(tiny_llama, tmp_path / "fp8"))
    assert re.match(r"Model .*/fp8: \d+\.\d kB, by quantize \(ignore \['lm_head'\], scheme FP8_DYNAMIC\), digest", text)
    assert re.search(r"source_bytes +\d+\.\d kB", text)
    assert re.search(r"quantized_tensors +14$", text, re.M)


def test_long_results_are_cut_and_say_so() -> None:
    rows = [(str(number),) for number in range(ROWS_SHOWN + 5)]
    panel = Panel(summary="Numbers", header=("number",), rows=rows)
    assert panel.to_text().splitlines()[-1] == "... and 5 more rows"
    assert panel.to_html().count("<tr>") == ROWS_SHOWN + 1
    assert "... and 1,980 more rows" in Panel(summary="", header=("n",), rows=rows[:20], total=2000).to_html()


def test_numbers_and_texts_in_words() -> None:
    assert [bytes_in_words(count) for count in (999, 1000, 134_515_008, 16e9)] == [
        "999 bytes",
        "1.0 kB",
        "134.5 MB",
        "16.0 GB",
    ]
    assert number_in_words("mean_angle_degrees", 12.345) == "12.35°"
    assert number_in_words("unfrozen_parameters_fraction", 0.5) == "50.0%"
    assert number_in_words("parameters", 134515008) == "134,515,008"
    assert number_in_words("snr", float("inf")) == "inf"
    assert cut("a\n  b " * 100, 10) == "a b a b..."
