import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from storm_core.artifacts import open_directory
from storm_core.manifest import MANIFEST_NAME, read_manifest, write_manifest
from storm_core.stores.references import reference_manifest
from tests.stores.conftest import Storm, digest_in, make


def test_ls_lists_kind_size_and_uri_the_newest_first(store: str, storm: Storm) -> None:
    model = make(store, "model", b"x" * 2000)
    scan = make(store, "scan", b"y")
    code, out, _ = storm("ls")
    header, *rows = out.splitlines()
    assert code == 0
    assert header.split() == ["KIND", "DIGEST", "FILES", "SIZE", "MODIFIED", "URI"]
    assert {row.split()[0] for row in rows} == {"model", "scan"}
    assert any("2.0 kB" in row and model in row for row in rows)
    _, out, _ = storm("ls", "--kind", "scan", "--json")
    (row,) = [json.loads(line) for line in out.splitlines()]
    assert (row["kind"], row["uri"], row["size"], row["files"]) == ("scan", scan, 1, 1)


def test_show_tells_producer_options_metrics_and_files(store: str, storm: Storm) -> None:
    uri = make(store, "model", b"x")
    code, out, _ = storm("show", uri)
    assert code == 0
    for told in ("make-model 0", "0.5", "loss", "0.25", "a.bin", digest_in(uri)):
        assert told in out
    _, out, _ = storm("show", uri, "--json")
    assert json.loads(out)["digest"] == digest_in(uri)


def test_pushed_directory_comes_back_as_it_was(store: str, tree: Path, tmp_path: Path, storm: Storm) -> None:
    before = open_directory(tree).manifest
    code, out, _ = storm("push", str(tree), "--kind", "model")
    uri = out.strip()
    assert code == 0
    assert open_directory(tree).manifest == before, "push took something from the directory or left something there"
    assert storm("pull", uri, str(tmp_path / "pulled"))[0] == 0
    pulled = open_directory(tmp_path / "pulled")
    assert pulled.manifest.files == before.files
    assert pulled.manifest.kind == "model"
    assert pulled.manifest.references == {"source": [str(tree)]}


def test_artifact_is_copied_from_one_store_to_another_with_its_manifest(
    store: str, tmp_path: Path, storm: Storm
) -> None:
    uri = make(store, "model", b"x", inputs={"data": ["0" * 64]})
    other = (tmp_path / "other").as_uri()
    code, out, _ = storm("push", uri, other)
    assert code == 0
    copied = reference_manifest(out.strip())
    assert (copied.digest, copied.inputs) == (digest_in(uri), {"data": ["0" * 64]})


def travelling(uri: str, directory: Path) -> Path:
    """The directory, with the artifact's manifest alone, as a stage hands it on."""
    directory.mkdir()
    write_manifest(directory, reference_manifest(uri))
    return directory


def test_pull_follows_a_manifest_that_travels_alone(store: str, tmp_path: Path, storm: Storm) -> None:
    uri = make(store, "model", b"x")
    assert storm("pull", str(travelling(uri, tmp_path / "output")), str(tmp_path / "pulled"))[0] == 0
    assert (tmp_path / "pulled" / "a.bin").read_bytes() == b"x"


def test_pull_refuses_a_manifest_that_leads_to_nothing_or_to_another_artifact(
    store: str, tmp_path: Path, storm: Storm
) -> None:
    uri, other = make(store, "model", b"x"), make(store, "model", b"other")
    output = travelling(uri, tmp_path / "output")
    write_manifest(output, replace(reference_manifest(uri), uri=other))
    assert "says digest" in storm("pull", str(output), str(tmp_path / "pulled"))[2]
    write_manifest(output, replace(reference_manifest(uri), uri=f"{store}/model/{'0' * 64}"))
    code, _, err = storm("pull", str(output), str(tmp_path / "pulled"))
    assert (code, len(err.splitlines())) == (1, 1)
    assert "0" * 64 in err
    assert not (tmp_path / "pulled").exists()


def test_pull_takes_a_foreign_directory_and_a_file_by_their_uris(
    small_tree: Path, tmp_path: Path, storm: Storm
) -> None:
    assert storm("pull", small_tree.as_uri(), str(tmp_path / "directory"))[0] == 0
    name = next(path.name for path in sorted(small_tree.iterdir()) if path.is_file())
    assert storm("pull", (small_tree / name).as_uri(), str(tmp_path / "file"))[0] == 0
    for pulled in ("directory", "file"):
        assert (tmp_path / pulled / name).read_bytes() == (small_tree / name).read_bytes()


def test_artifact_that_lies_outside_the_layout_of_a_store_is_one_too(tmp_path: Path, storm: Storm) -> None:
    uri = make((tmp_path / "store").as_uri(), "model", b"x")
    elsewhere = shutil.copytree(Path(uri.removeprefix("file://")), tmp_path / "elsewhere")
    assert storm("pull", elsewhere.as_uri(), str(tmp_path / "pulled"))[0] == 0
    assert storm("verify", elsewhere.as_uri(), f"{elsewhere.as_uri()}/manifest.json")[0] == 0
    assert digest_in(uri)[:12] in storm("lineage", elsewhere.as_uri())[1]


def test_foreign_directory_needs_a_kind_and_an_artifact_keeps_its_own(
    store: str, small_tree: Path, storm: Storm
) -> None:
    code, _, err = storm("push", str(small_tree))
    assert code == 1
    assert "say with --kind what it is" in err
    for kind in ("../model", "a/b", ".hidden"):
        assert storm("push", str(small_tree), "--kind", kind)[0] == 1
    code, _, err = storm("push", make(store, "model", b"x"), "--kind", "scan")
    assert code == 1
    assert "is of kind 'model', not 'scan'" in err


def test_pull_leaves_a_directory_with_files_alone(store: str, tmp_path: Path, storm: Storm) -> None:
    uri = make(store, "model", b"x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("years of work")
    code, _, err = storm("pull", uri, str(tmp_path / "full"))
    assert code == 1
    assert "pull into a new directory" in err
    assert (tmp_path / "full" / "thesis.txt").read_text() == "years of work"


def test_pull_of_a_damaged_artifact_leaves_no_directory(
    store: str, tmp_path: Path, storm: Storm, damage: Callable[[str], None]
) -> None:
    uri = make(store, "model", b"x" * 100)
    damage(uri)
    code, _, err = storm("pull", uri, str(tmp_path / "pulled"))
    assert code == 1
    assert "altered" in err
    assert not (tmp_path / "pulled").exists()


@pytest.mark.parametrize("in_layout", [True, False])
def test_pull_names_the_file_that_is_missing(in_layout: bool, tmp_path: Path, storm: Storm) -> None:
    directory = Path(make(f"file://{tmp_path}/store", "model", b"x").removeprefix("file://"))
    if not in_layout:
        directory = directory.rename(tmp_path / "elsewhere")
    (directory / "a.bin").unlink()
    code, _, err = storm("pull", directory.as_uri(), str(tmp_path / "pulled"))
    assert code == 1
    assert f"{directory / 'a.bin'} is missing" in err.splitlines()[-1]
    assert not (tmp_path / "pulled").exists()


def test_ls_passes_over_a_foreign_file_whose_place_is_no_artifact_s(tmp_path: Path, storm: Storm) -> None:
    uri = make(f"file://{tmp_path}/store", "model", b"x")
    foreign = tmp_path / "store" / "my\\kind" / ("0" * 64)
    foreign.mkdir(parents=True)
    (foreign / "file").write_text("x")
    code, out, _ = storm("ls", f"file://{tmp_path}/store", "--unfinished", "--json")
    assert code == 0
    assert [json.loads(line)["uri"] for line in out.splitlines()] == [uri]


@pytest.fixture
def damage(store: str, request: pytest.FixtureRequest) -> Iterator[Callable[[str], None]]:
    """Flip a byte of an artifact's file behind the store's back."""

    def flip(uri: str) -> None:
        if store.startswith("s3://"):
            place = request.getfixturevalue("place")
            key = f"{place.key_of(uri)}/a.bin"
            place.write(key, b"?" + place.read(key)[1:])
        else:
            path = Path(uri.removeprefix("file://")) / "a.bin"
            path.write_bytes(b"?" + path.read_bytes()[1:])

    yield flip


def test_verify_finds_the_damaged_artifact_and_removes_it_on_request(
    store: str, storm: Storm, damage: Callable[[str], None]
) -> None:
    good, bad = make(store, "model", b"good"), make(store, "model", b"bad")
    assert storm("verify")[0] == 0
    damage(bad)
    code, out, _ = storm("verify")
    assert code == 1
    assert f"damaged  {bad}  a.bin" in out
    assert f"ok       {good}" in out
    assert storm("verify", bad, "--remove-damaged")[0] == 1
    assert storm("verify")[0] == 0
    assert make(store, "model", b"bad") == bad
    assert storm("verify", bad)[0] == 0


def test_lineage_goes_back_to_the_sources(store: str, storm: Storm, small_tree: Path) -> None:
    base = storm("push", str(small_tree), "--kind", "model")[1].strip()
    tuned = make(store, "model", b"tuned", inputs={"model": [digest_in(base)]})
    merged = make(store, "model", b"merged", inputs={"base_model": [digest_in(tuned)], "other": [digest_in(base)]})
    code, out, _ = storm("lineage", merged)
    assert code == 0
    lines = out.splitlines()
    assert [len(line) - len(line.lstrip()) for line in lines] == [0, 2, 4, 6, 2]
    assert lines[1].strip().startswith(f"base_model: model {digest_in(tuned)[:12]} by make-model")
    assert str(small_tree) in lines[3], "the source that was pushed is named"
    assert lines[4].endswith("(see above)")
    rows = [json.loads(line) for line in storm("lineage", merged, "--json")[1].splitlines()]
    assert [row["depth"] for row in rows] == [0, 1, 2, 3, 1]


def test_commands_without_a_store_say_how_to_name_one(storm: Storm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STORM_STORE", raising=False)
    code, _, err = storm("ls")
    assert code == 1
    assert "set STORM_STORE" in err


def test_reference_to_nothing_is_one_line(store: str, storm: Storm, tmp_path: Path) -> None:
    for command in (("show",), ("lineage",), ("pull",)):
        directory = (str(tmp_path / "new"),) if command == ("pull",) else ()
        code, _, err = storm(*command, f"{store}/model/{'0' * 64}", *directory)
        assert code == 1
        assert len(err.splitlines()) == 1
        assert "0" * 64 in err


def test_manifest_in_the_store_is_that_of_the_stage(store: str, storm: Storm, tmp_path: Path) -> None:
    uri = make(store, "model", b"x")
    storm("pull", uri, str(tmp_path / "pulled"))
    manifest = read_manifest(tmp_path / "pulled" / MANIFEST_NAME)
    assert manifest.producer["verb"] == "make-model"
    assert manifest.uri is None
