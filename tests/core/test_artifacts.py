import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storm_core.artifacts import open_directory, seal
from storm_core.errors import InputError
from storm_core.manifest import MANIFEST_NAME, check_relative_path


def make_artifact(directory: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    seal(directory, "model", producer={"verb": "test"}, inputs={"model": ["00"]}, metrics={"loss": 0.5})
    return directory


def test_sealed_directory_opens_with_what_was_written(tmp_path: Path) -> None:
    make_artifact(tmp_path, {"a.txt": b"one", "deep/b.bin": b"\0" * 10})
    artifact = open_directory(tmp_path)
    assert [entry.path for entry in artifact.manifest.files] == ["a.txt", "deep/b.bin"]
    assert artifact.manifest.metrics == {"loss": 0.5}
    assert artifact.file("deep/b.bin").read_bytes() == b"\0" * 10


def test_same_content_has_the_same_digest_wherever_it_lies(tmp_path: Path) -> None:
    files = {"a.txt": b"one", "b.txt": b"two"}
    first = make_artifact(tmp_path / "x", files)
    second = make_artifact(tmp_path / "y", dict(reversed(files.items())))
    assert open_directory(first).digest == open_directory(second).digest


def test_file_beside_the_listed_ones_is_ignored(tmp_path: Path) -> None:
    make_artifact(tmp_path, {"a.txt": b"one"})
    (tmp_path / "stale.txt").write_text("left over")
    artifact = open_directory(tmp_path)
    with pytest.raises(InputError, match=r"no stale.txt in the model artifact"):
        artifact.file("stale.txt")


def test_flipped_byte_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    make_artifact(tmp_path, {"weights.bin": b"\x00\x01\x02"})
    (tmp_path / "weights.bin").write_bytes(b"\x00\x01\x03")
    with pytest.raises(InputError, match=r"weights\.bin does not have the SHA-256"):
        open_directory(tmp_path)


def test_truncated_file_is_an_error_that_gives_both_sizes(tmp_path: Path) -> None:
    make_artifact(tmp_path, {"weights.bin": b"\x00\x01\x02"})
    (tmp_path / "weights.bin").write_bytes(b"\x00")
    with pytest.raises(InputError, match=r"weights\.bin has 1 bytes, its manifest says 3"):
        open_directory(tmp_path)


def test_missing_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    make_artifact(tmp_path, {"a.txt": b"one", "b.txt": b"two"})
    (tmp_path / "b.txt").unlink()
    with pytest.raises(InputError, match=r"b\.txt is missing"):
        open_directory(tmp_path)


def test_listed_file_replaced_by_a_link_is_refused(tmp_path: Path) -> None:
    make_artifact(tmp_path / "artifact", {"a.txt": b"one"})
    (tmp_path / "outside.txt").write_bytes(b"one")
    (tmp_path / "artifact" / "a.txt").unlink()
    (tmp_path / "artifact" / "a.txt").symlink_to(tmp_path / "outside.txt")
    with pytest.raises(InputError, match="missing"):
        open_directory(tmp_path / "artifact")


def test_manifest_whose_list_was_changed_is_refused(tmp_path: Path) -> None:
    make_artifact(tmp_path, {"a.txt": b"one"})
    manifest = json.loads((tmp_path / MANIFEST_NAME).read_text())
    manifest["files"] = []
    (tmp_path / MANIFEST_NAME).write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="digest does not match"):
        open_directory(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 1}', '{"format": 2}', "\0\0"])
def test_garbage_manifest_is_an_input_error(tmp_path: Path, content: str) -> None:
    (tmp_path / MANIFEST_NAME).write_text(content)
    with pytest.raises(InputError, match=MANIFEST_NAME):
        open_directory(tmp_path)


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "a\\b", "a\0b", "", "./a", "a//b"])
def test_file_name_that_could_lead_outside_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="not a plain relative path"):
        check_relative_path(name, Path("manifest.json"))


def test_directory_without_manifest_is_hashed_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert open_directory(tmp_path).manifest.kind == ""


def test_single_file_is_an_artifact_of_one_file(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    (tmp_path / "other.gguf").write_bytes(b"GGUF")
    artifact = open_directory(tmp_path / "model.gguf")
    assert artifact.path == tmp_path
    assert [entry.path for entry in artifact.manifest.files] == ["model.gguf"]


def test_empty_directory_is_not_an_artifact(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is empty"):
        open_directory(tmp_path)
    with pytest.raises(ValueError, match="nothing was written"):
        seal(tmp_path, "model", producer={}, inputs={}, metrics={})


names = st.text(st.characters(min_codepoint=97, max_codepoint=122), min_size=1, max_size=8)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=st.dictionaries(names, st.binary(max_size=64), min_size=1, max_size=6))
def test_any_tree_survives_sealing_and_opening(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]
) -> None:
    directory = make_artifact(
        tmp_path_factory.mktemp("tree"), {f"d/{name}": content for name, content in files.items()}
    )
    artifact = open_directory(directory)
    assert {entry.path: artifact.file(entry.path).read_bytes() for entry in artifact.manifest.files} == {
        f"d/{name}": content for name, content in files.items()
    }
