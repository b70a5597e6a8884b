"""Whatever text stands for a URI or a manifest: it is refused as bad input, or what it names stays where it belongs."""

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from storm_core.errors import InputError
from storm_core.manifest import FileEntry, Manifest, content_digest, parse_manifest
from storm_core.stores.locations import FileLocation, HubLocation, Location, S3Location
from storm_core.stores.uris import parse_uri

# More with: STORM_FUZZ_EXAMPLES=100000 python -m pytest tests/stores/test_uri_fuzz.py
EXAMPLES = int(os.environ.get("STORM_FUZZ_EXAMPLES") or 300)
fuzzed = settings(max_examples=EXAMPLES)

_PIECES = [
    *("file://", "s3://", "hf://", "http://", "file:", "S3://", "//", "/", "///", "..", ".", "localhost", "~", "$HOME"),
    *("%2e", "%2E%2e", "%2f", "%5c", "%00", "%", "%zz", "%c3%a9", "%ff", "%0a", "%25", "%252e", "\\", "\0", "\n", "\t"),
    *(" ", "?", "#", ";", "@", ":", "user:secret@", "bucket", "BUCKET", "192.168.0.1", "[::1]", "a", "é", "\u202e"),
    *("\uff0e\uff0e", "\ud800", "datasets/", "org/name", "@main", "@refs/pr/1", "manifest.json", "x" * 300),
]
uri_texts = st.one_of(
    st.lists(st.sampled_from(_PIECES), max_size=8).map("".join),
    st.tuples(st.sampled_from(["file:///", "s3://bucket/", "s3://", "hf://", ""]), st.text(max_size=40)).map("".join),
    st.text(max_size=60),
)


def parse_or_refuse(text: str) -> Location | None:
    """What the text names, or None where it is refused, in one line."""
    try:
        return parse_uri(text)
    except InputError as error:
        assert "\n" not in str(error)
        str(error).encode()
        return None


@fuzzed
@given(text=uri_texts)
@example("file:///a/%2e%2e/b")
@example("s3://bucket/a/../b")
@example("s3://user:secret@bucket/x")
@example("hf://org/../../x")
def test_any_text_is_refused_or_names_one_plain_place(text: str) -> None:
    location = parse_or_refuse(text)
    if isinstance(location, FileLocation):
        assert_plain_file(location)
    if isinstance(location, S3Location):
        assert "/" not in location.bucket
        assert "@" not in location.bucket
        assert_plain(location.key)
        assert parse_uri(location.uri) == location
    if isinstance(location, HubLocation):
        assert_plain(location.repository)
        assert location.repository.count("/") == 1
        assert ".." not in (location.revision or "")
        assert parse_uri(location.uri) == location


@fuzzed
@given(
    scheme=st.sampled_from(["s3", "file", "hf", "https", "S3"]),
    password=st.text(max_size=20).map("secret{}secret".format),
    rest=st.sampled_from(["bucket/x", "org/name", "bucket", ""]),
)
@example(scheme="s3", password="secret" * 1000, rest="bucket/x")
def test_password_in_a_uri_is_refused_and_never_shown(scheme: str, password: str, rest: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_uri(f"{scheme}://user:{password}@{rest}")
    assert "secret" not in str(caught.value)


def assert_plain(path: str) -> None:
    """A relative path whose every segment is a name, and which means the same to a file system, to S3 and in a URL."""
    assert not {"", ".", ".."} & set(path.split("/")) or path == ""
    assert not any(character in path for character in "\\\0\n\r?#;")
    assert not any(ord(character) < 0x20 for character in path)
    assert unquote(quote(path)) == path


def assert_plain_file(location: FileLocation) -> None:
    """An absolute path that climbs nowhere and is the same after any number of times as a URI."""
    assert location.path.is_absolute()
    assert os.path.normpath(location.path) == str(location.path)
    assert not any(character in "\\\0" or ord(character) < 0x20 for character in str(location.path))
    assert parse_uri(location.uri) == location


@fuzzed
@given(suffix=uri_texts)
@example("%5c")
@example("%252e%252e/%252e%252e/%252f..")
@example("a/%2e%2e/%2e%2e/b")
@example("..%2f..")
def test_what_is_appended_to_a_store_stays_below_it(suffix: str) -> None:
    inside_file = parse_or_refuse(f"file:///srv/store/{suffix}")
    if inside_file is not None:
        assert isinstance(inside_file, FileLocation)
        assert Path(os.path.normpath(inside_file.path)).is_relative_to("/srv/store")
        assert_plain_file(inside_file)
    inside_bucket = parse_or_refuse(f"s3://bucket/prefix/{suffix}")
    if inside_bucket is not None:
        assert isinstance(inside_bucket, S3Location)
        assert inside_bucket.bucket == "bucket"
        assert inside_bucket.key == "prefix" or inside_bucket.key.startswith("prefix/")


@fuzzed
@given(parts=st.lists(st.sampled_from(["a", "é", "with space", "a+b", "a~b", "-", "_", "x" * 50]), max_size=4))
def test_plain_paths_are_accepted_and_survive_the_round_trip(parts: list[str]) -> None:
    path = Path("/", *parts)
    assert parse_uri(path.as_uri()) == FileLocation(path=path)
    location = S3Location(bucket="bucket", key="/".join(parts))
    assert parse_uri(location.uri) == location


_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=10)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=10,
)
_SOUND = {
    "format": 1,
    "kind": "model",
    "files": [{"path": "a/b", "size": 3, "sha256": "0" * 64}, {"path": "c", "size": 0, "sha256": "1" * 64}],
    "producer": {"verb": "train"},
    "inputs": {"data": ["2" * 64]},
    "metrics": {"loss": 1.5},
    "uri": None,
}
_SOUND_ENTRIES = (FileEntry(path="a/b", size=3, sha256="0" * 64), FileEntry(path="c", size=0, sha256="1" * 64))
_SOUND["digest"] = content_digest("model", _SOUND_ENTRIES)
_FIELDS = [*_SOUND, "references", "unknown"]
_NAMES = st.one_of(uri_texts, st.sampled_from(["../x", "/x", "a/../x", "a", "a/b", "manifest.json", "a\\b"]))


def read_or_refuse(content: bytes) -> Manifest | None:
    """The manifest, or None where it is refused."""
    try:
        manifest = parse_manifest(content, "here")
    except InputError:
        return None
    for entry in manifest.files:
        assert_plain_name(entry.path)
    assert content_digest(manifest.kind, manifest.files) == manifest.digest
    assert parse_manifest(manifest.to_json().encode(), "here") == manifest
    return manifest


def assert_plain_name(name: str) -> None:
    """The name leads to a file below any directory, and to no other place."""
    assert Path(os.path.normpath(Path("/root/of/all", name))) == Path("/root/of/all", name)
    assert Path("/root/of/all", name).is_relative_to("/root/of/all")
    assert name not in ("", ".", "manifest.json")
    name.encode()


def test_sound_manifest_is_read() -> None:
    manifest = read_or_refuse(json.dumps(_SOUND).encode())
    assert manifest is not None
    assert manifest.files == _SOUND_ENTRIES


@fuzzed
@given(
    content=st.one_of(
        st.binary(max_size=60), st.text(max_size=60).map(str.encode), _JSON.map(json.dumps).map(str.encode)
    )
)
@example(b"[" * 100_000)
@example(b'{"format": 1}')
@example(b"\xff\xfe")
@example("\ufeff{}".encode())
@example(b"1" * 5000)
def test_any_bytes_are_refused_or_a_manifest(content: bytes) -> None:
    assert read_or_refuse(content) is None


@fuzzed
@given(field=st.sampled_from(_FIELDS), value=_JSON)
def test_manifest_with_any_value_in_any_field_is_refused_or_sound(field: str, value: Any) -> None:
    read_or_refuse(json.dumps({**_SOUND, field: value}).encode())


@fuzzed
@given(
    names=st.lists(_NAMES, min_size=1, max_size=3),
    size=st.one_of(st.integers(-1, 3), _JSON),
    sha256=st.one_of(st.just("0" * 64), st.text(max_size=64)),
    kind=st.one_of(st.just("model"), _NAMES),
)
def test_manifest_with_a_right_digest_over_anything_is_refused_or_contained(
    names: list[str], size: Any, sha256: str, kind: str
) -> None:
    entries = [{"path": name, "size": size, "sha256": sha256} for name in names]
    listing = [kind, sorted(([name, size, sha256] for name in names), key=repr)]
    digest = digest_of_listing(listing)
    read_or_refuse(json.dumps({**_SOUND, "kind": kind, "files": entries, "digest": digest}).encode())


def digest_of_listing(listing: Any) -> str:
    """The digest as a manifest would have it, over whatever it is."""
    import hashlib

    return hashlib.sha256(json.dumps(listing, separators=(",", ":")).encode()).hexdigest()


@fuzzed
@given(content=st.data())
def test_manifest_with_a_changed_byte_is_refused_or_lists_the_same_files(content: st.DataObject) -> None:
    changed = bytearray(json.dumps(_SOUND).encode())
    position = content.draw(st.integers(0, len(changed) - 1))
    changed[position] = content.draw(st.integers(0, 255))
    manifest = read_or_refuse(bytes(changed))
    if manifest is not None:
        assert manifest.files == _SOUND_ENTRIES
        assert manifest.kind == "model"


@pytest.mark.parametrize("uri", ["s3://bucket", "s3://bucket/", "s3://bucket/a/b/", "file:///", "file:///a%20b"])
def test_usual_ways_to_write_a_store_are_accepted(uri: str) -> None:
    parse_uri(uri)
