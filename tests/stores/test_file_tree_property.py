"""Any tree of files comes out of a store as it went in, or is refused before anything of it is published."""

import itertools
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from storm_core.artifacts import seal
from storm_core.errors import InputError
from storm_core.stores.references import open_reference, open_store
from tests.stores.conftest import S3Place
from tests.stores.crashing import PART_BYTES, Work, make_store, open_artifact

# What people call files, and what S3, XML, URLs and shells give a meaning to.
_SEGMENTS = st.one_of(
    st.sampled_from(
        ["config.json", "model-00001.safetensors", "a", "b", "A", "a b", "a+b", "a%20b", "a&b=c", "é", "e\u0301"]
    ),
    st.text(st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), min_size=1, max_size=20),
)
_NAMES = st.lists(_SEGMENTS, min_size=1, max_size=3).map("/".join)
_CONTENTS = st.one_of(st.binary(max_size=100), st.integers(0, 3 << 20).map(lambda size: b"\xa5" * size))
_TREES = st.dictionaries(_NAMES, _CONTENTS, min_size=1, max_size=6)
_numbers = itertools.count()

# Each example publishes and opens: some tenths of a second on S3.
checked = settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


@checked
@given(tree=_TREES)
def test_any_tree_comes_out_of_a_file_store_as_it_went_in(tree: dict[str, bytes], tmp_path: Path) -> None:
    root = tmp_path / str(next(_numbers))
    round_trip(tree, (root / "store").as_uri(), root)


@checked
@given(tree=_TREES)
def test_any_tree_comes_out_of_an_s3_store_as_it_went_in(
    tree: dict[str, bytes], place: S3Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = next(_numbers)
    root = tmp_path / str(number)
    monkeypatch.setenv("STORM_CACHE", str(root / "cache"))
    round_trip(tree, f"{place.uri}/{number}", root)


def round_trip(tree: dict[str, bytes], store_uri: str, root: Path) -> None:
    """Publish the tree and open it from elsewhere; what comes out is what went in."""
    store = open_store(store_uri)
    directory = store.staging_directory()
    write_files(directory, tree)
    try:
        manifest = seal(directory, "model", producer={}, inputs={}, metrics={})
    except InputError:
        assert any(is_beyond_every_store(name) for name in tree)
        return
    except ValueError as error:
        assert "nothing was written" in str(error)
        return
    uri = store.publish(directory, manifest).uri
    shutil.rmtree(root / "cache", ignore_errors=True)
    artifact = open_reference(uri)
    expected = {name: content for name, content in tree.items() if is_visible(name)}
    assert {entry.path: artifact.file(entry.path).read_bytes() for entry in artifact.manifest.files} == expected
    assert artifact.digest == manifest.digest
    assert artifact.reference == uri


def write_files(directory: Path, tree: dict[str, bytes]) -> None:
    """The tree, where one can be: not with a file below another, nor with `..`."""
    for name, content in tree.items():
        parts = name.split("/")
        assume(not {".", ".."} & set(parts))
        assume(all(len(part.encode()) <= 255 for part in parts))
        path = directory / name
        assume(not path.exists() and not any(parent.is_file() for parent in path.parents))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def is_visible(name: str) -> bool:
    """Whether the file belongs to an artifact: hidden ones do not, and the manifest stands for itself."""
    return name != "manifest.json" and not any(part.startswith(".") for part in name.split("/"))


def is_beyond_every_store(name: str) -> bool:
    """Whether a visible file has a name that is refused when it is sealed."""
    return is_visible(name) and any(character == "\\" or ord(character) < 0x20 for character in name)


@pytest.mark.parametrize("size", [PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES, 2 * PART_BYTES + 1])
def test_sizes_around_the_limit_of_a_part_come_out_as_they_went_in(
    size: int, work: Work, fresh: Work, tmp_path: Path
) -> None:
    store = make_store(work)
    directory = store.staging_directory()
    (directory / "a").write_bytes(bytes(range(256)) * (size // 256) + b"\1" * (size % 256))
    manifest = seal(directory, "model", producer={}, inputs={}, metrics={})
    uri = store.publish(directory, manifest).uri
    store.access.client.close()
    assert open_artifact(replace(fresh, uri=uri)) == manifest.digest
