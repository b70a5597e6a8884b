"""`fetch`, `merge`, `quantize` and `scan` give what the stages write, and refuse what they refuse."""

import os
from pathlib import Path

import pytest

import storm_core as storm
from storm_core.artifacts import open_directory
from storm_core.cli import main
from storm_core.stores.references import open_reference


def contents(directory: Path) -> dict[str, bytes]:
    files = sorted(path for path in directory.rglob("*") if path.is_file() and path.name != "manifest.json")
    return {path.name: path.read_bytes() for path in files}


def test_merge_writes_the_bytes_that_the_stage_writes(tiny_llama: Path, other_tiny_llama: Path, tmp_path: Path) -> None:
    merged = storm.merge(str(tiny_llama), other_tiny_llama, tmp_path / "merged", t=0.3)
    flags = ["--base-model", str(tiny_llama), "--other-model", str(other_tiny_llama), "--t", "0.3"]
    assert main(["merge", *flags, "--merged-model", str(tmp_path / "stage")]) == 0
    assert contents(merged.path) == contents(tmp_path / "stage")
    assert merged.manifest == open_directory(tmp_path / "stage").manifest
    assert merged.metrics["tensors"] == 20


def test_quantize_and_fetch_write_the_bytes_that_the_stages_write(tiny_llama: Path, tmp_path: Path) -> None:
    fetched = storm.fetch(tiny_llama, tmp_path / "fetched")
    quantized = storm.quantize(fetched, tmp_path / "quantized", ignore=["lm_head", "re:.*v_proj"])  # type: ignore[arg-type]
    assert main(["fetch", "--source", str(tiny_llama), "--model", str(tmp_path / "a")]) == 0
    ignore = ["--ignore", '["lm_head", "re:.*v_proj"]']
    assert main(["quantize", "--model", str(tmp_path / "a"), *ignore, "--quantized-model", str(tmp_path / "b")]) == 0
    assert contents(fetched.path) == contents(tmp_path / "a")
    assert contents(quantized.path) == contents(tmp_path / "b")
    assert quantized.manifest.inputs == {"model": [fetched.digest]}


def test_scan_holds_what_the_stage_writes(tiny_llama: Path, tmp_path: Path) -> None:
    scan = storm.scan(tiny_llama, tmp_path / "scan", unfrozen_percent=25)
    flags = ["--model", str(tiny_llama), "--unfrozen-percent", "25"]
    assert main(["scan", *flags, "--scan", str(tmp_path / "stage")]) == 0
    assert contents(tmp_path / "scan") == contents(tmp_path / "stage")
    assert scan.unfrozen_parameters == (tmp_path / "stage/unfrozen_parameters.yaml").read_text()
    listed = [line.strip("- ^$").removesuffix(".weight") for line in scan.unfrozen_parameters.splitlines()]
    assert set(scan.unfrozen) <= set(listed)
    assert scan.metrics == open_directory(tmp_path / "stage").manifest.metrics


def test_scan_without_output_finds_the_same_and_leaves_nothing(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = storm.scan(tiny_llama, tmp_path / "scan")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    assert storm.scan(tiny_llama) == kept
    assert list((tmp_path / "temporary").iterdir()) == []


def test_scan_as_a_table_has_a_row_for_each_matrix(tiny_llama: Path) -> None:
    scan = storm.scan(tiny_llama)
    table = scan.table.to_pydict()
    assert table["module"] == [matrix.module for matrix in scan.matrices]
    assert len(table["snr"]) == 15
    assert [name for name, chosen in zip(table["module"], table["unfrozen"], strict=True) if chosen] == scan.unfrozen


def test_model_is_a_path_to_the_library_and_to_others(tiny_llama: Path, tmp_path: Path) -> None:
    from transformers import AutoConfig

    fetched = storm.fetch(tiny_llama, tmp_path / "fetched")
    assert os.fspath(fetched) == str(tmp_path / "fetched")
    assert (Path(fetched) / "config.json").is_file()
    assert AutoConfig.from_pretrained(fetched.path).hidden_size == 64
    assert (
        storm.scan(fetched)
        == storm.scan(f"file://{tmp_path}/fetched")
        == storm.scan(tmp_path / "fetched/manifest.json")
    )


def test_with_a_store_the_output_is_a_manifest_and_the_model_its_content(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORM_STORE", f"file://{tmp_path}/store")
    fetched = storm.fetch(tiny_llama, tmp_path / "fetched")
    assert [path.name for path in (tmp_path / "fetched").iterdir()] == ["manifest.json"]
    assert (fetched.path / "model.safetensors").is_file()
    assert fetched.path.is_relative_to(tmp_path / "store")
    scan = storm.scan(fetched, tmp_path / "scan")
    assert scan.metrics["matrices"] == 14
    references = open_reference(str(tmp_path / "scan")).manifest.references
    assert references == {"model": [fetched.manifest.uri]}


def test_output_that_holds_a_persons_files_is_refused_and_left_alone(tiny_llama: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("notes")
    with pytest.raises(storm.InputError, match="holds files that no stage wrote"):
        storm.quantize(tiny_llama, tmp_path / "mine")
    assert contents(tmp_path / "mine") == {"notes.txt": b"notes"}
    with pytest.raises(storm.InputError, match="is a URI; give a directory"):
        storm.quantize(tiny_llama, "s3://bucket/model")


def test_failed_merge_leaves_nothing_and_what_is_no_model_is_refused(tiny_llama: Path, tmp_path: Path) -> None:
    storm.quantize(tiny_llama, tmp_path / "fp8")
    with pytest.raises(storm.InputError, match="merge the models first and quantize the result"):
        storm.merge(tiny_llama, tmp_path / "fp8", tmp_path / "merged")
    assert [path.name for path in tmp_path.iterdir()] == ["fp8"]
    with pytest.raises(storm.InputError, match=r"must be a model artifact, but .* is of kind 'scan'"):
        storm.scan(tiny_llama, tmp_path / "scan")
        storm.quantize(tmp_path / "scan", tmp_path / "out")


def test_same_call_uses_the_output_again(tiny_llama: Path, tmp_path: Path) -> None:
    first = storm.quantize(tiny_llama, tmp_path / "fp8")
    written = (tmp_path / "fp8/model.safetensors").stat()
    assert storm.quantize(tiny_llama, tmp_path / "fp8") == first
    assert (tmp_path / "fp8/model.safetensors").stat() == written
