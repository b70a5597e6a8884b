"""Each of `examples/` does what it says, on small models of its own."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from storm_core.artifacts import open_directory

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error::UserWarning:__main__"}
TALKS = [("Why is the sky blue?", "Air scatters blue light the most."), ("hi", "hi"), ("What is 2 + 2?", "4")]


def run(script: str, *arguments: object) -> str:
    command = [sys.executable, str(EXAMPLES / script), *map(str, arguments)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRONMENT)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_every_example_is_run_here() -> None:
    names = {path.name for path in EXAMPLES.iterdir() if path.is_file()}
    assert all(f'"{name}"' in Path(__file__).read_text() for name in names), names


def test_scan_prints_the_clearest_signal_and_writes_the_list(tiny_llama: Path, tmp_path: Path) -> None:
    printed = run("scan_model.py", tiny_llama, "--unfrozen-percent", 50, "--yaml", tmp_path / "list.yaml")
    assert "Scan of 14 matrices: 7 to train (unfrozen_percent 50)" in printed
    ratios = [float(line.split()[1]) for line in printed.partition("The clearest signal:\n")[2].splitlines()]
    assert len(ratios) == 5
    assert ratios == sorted(ratios, reverse=True)
    assert (tmp_path / "list.yaml").read_text().startswith("unfrozen_parameters:\n- ^lm_head.weight$\n")


def test_merges_lie_at_each_place(tiny_llama: Path, other_tiny_llama: Path, tmp_path: Path) -> None:
    printed = run("merge_models.py", tiny_llama, other_tiny_llama, tmp_path / "merges", "--t", 0.25, 0.75)
    for t in (0.25, 0.75):
        merged = open_directory(tmp_path / f"merges/t-{t}")
        assert merged.manifest.producer["config"] == {"t": t}
        assert f"{merged.path}  digest {merged.digest[:12]}" in printed
    assert "5 of 20 tensors are the same in both models" in printed


def test_quantized_models_are_smaller_and_what_is_kept_costs_less(tiny_llama: Path, tmp_path: Path) -> None:
    printed = run("quantize_model.py", tiny_llama, tmp_path / "fp8", "--keep", "re:.*down_proj")
    found = re.findall(r"^all.*: ([\d.]+)% of the bytes, weights off by ([\d.]+)%, in (.+)$", printed, re.M)
    (all_size, error, _), (some_size, _, place) = found
    assert float(all_size) < float(some_size) < 100
    assert 0 < float(error) < 5
    assert open_directory(Path(place)).manifest.producer["config"]["ignore"] == ["lm_head", "re:.*down_proj"]


def test_the_better_examples_are_kept_as_they_were(tiny_llama: Path, tmp_path: Path) -> None:
    lines = [json.dumps({"instruction": question, "output": answer, "id": answer}) for question, answer in TALKS]
    (tmp_path / "chat.jsonl").write_text("\n".join(lines))
    arguments = [tiny_llama, tmp_path / "chat.jsonl", "--keep", 0.67, "--output", tmp_path / "kept.jsonl"]
    printed = run("score_examples.py", *arguments)
    assert "2 of 3 are kept" in printed
    values = {question: float(value) for question, value in re.findall(r"^  (.+\S) +\d \(([\d.]+)\)", printed, re.M)}
    assert set(values) == {question for question, _ in TALKS}
    kept = [json.loads(line)["instruction"] for line in (tmp_path / "kept.jsonl").read_text().splitlines()]
    assert len(kept) == 2
    assert values[kept[0]] >= values[kept[1]] >= min(values.values())
    assert set((tmp_path / "kept.jsonl").read_text().splitlines()) < set(lines)


def test_wrong_model_ends_a_script_with_the_reason(tmp_path: Path) -> None:
    command = [sys.executable, str(EXAMPLES / "scan_model.py"), str(tmp_path / "nowhere")]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRONMENT)
    assert finished.returncode == 1
    assert "nowhere does not exist" in finished.stderr


def test_notebook_is_of_the_current_format_and_holds_no_outputs() -> None:
    notebook = nbformat.read(EXAMPLES / "tour.ipynb", as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    for cell in notebook.cells:
        assert cell.metadata == {}
        assert not cell.get("outputs") and cell.get("execution_count") is None


def test_links_of_the_notebook_lead_to_a_file() -> None:
    notebook = nbformat.read(EXAMPLES / "tour.ipynb", as_version=4)
    for text in (cell.source for cell in notebook.cells if cell.cell_type == "markdown"):
        for link in re.findall(r"\]\(([^)\s#]+)\)", text):
            assert (EXAMPLES / link).is_file(), link


@pytest.fixture(scope="module")
def shown(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """What Jupyter shows after each cell, by MIME type, with a tiny model in the place that the notebook names."""
    project = tmp_path_factory.mktemp("project")
    (project / "examples").mkdir()
    shutil.copytree(tiny_llama, project / "runs/smollm2")
    notebook = project / "examples/tour.ipynb"
    shutil.copyfile(EXAMPLES / "tour.ipynb", notebook)
    command = [sys.executable, "-m", "jupyter", "execute", "--inplace", notebook.name]
    finished = subprocess.run(
        command, cwd=notebook.parent, capture_output=True, text=True, check=False, env=ENVIRONMENT
    )
    assert finished.returncode == 0, finished.stderr
    cells = nbformat.read(notebook, as_version=4).cells
    return {cell.id: as_shown(cell.outputs) for cell in cells if cell.cell_type == "code"}


def as_shown(outputs: list[nbformat.NotebookNode]) -> dict[str, str]:
    """The value of the cell's last expression by MIME type, and as `printed` what went to standard output."""
    printed = "".join(one.text for one in outputs if one.output_type == "stream" and one.name == "stdout")
    values = [one.data for one in outputs if one.output_type == "execute_result"]
    return {"printed": printed, **(values[0] if values else {})}


def test_notebook_runs_from_its_first_cell_to_its_last(shown: dict[str, dict[str, str]]) -> None:
    assert {id for id, one in shown.items() if "text/html" in one} == {"scan", "merge", "quantize", "score"}
    assert shown["slerp"]["text/plain"] == "True"
    printed = "".join(one["printed"] for one in shown.values())
    assert "merge the models first and quantize the result" in printed
    assert "Why is the sky blue?" in printed


@pytest.mark.parametrize(
    ("cell", "held"),
    [
        ("scan", '<td style="text-align: left">self_attn.q_proj</td>'),
        ("merge", '<td style="text-align: left">tensors_spherical</td>'),
        ("quantize", "by quantize (ignore ["),
        ("score", '<td style="text-align: left">Why is the sky blue?</td>'),
    ],
)
def test_results_show_themselves_in_the_notebook(cell: str, held: str, shown: dict[str, dict[str, str]]) -> None:
    assert shown[cell]["text/html"].startswith("<div><p>")
    assert held in shown[cell]["text/html"]
