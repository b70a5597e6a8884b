"""A hub's repositories as sources, against a real HTTP server that speaks the hub's interface."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from storm_core.artifacts import Artifact, open_directory
from storm_core.checkpoints.checkpoint import open_checkpoint
from storm_core.cli import main
from storm_core.errors import InputError, StoreError
from storm_core.manifest import MANIFEST_NAME, content_digest, read_manifest
from storm_core.stores.hub import open_hub
from storm_core.stores.locations import HubLocation
from storm_core.stores.uris import parse_uri
from tests.stores.hub_server import Hub, Repository, running_hub

MODEL = "storm/tiny"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A hub, and a cache of this test's own. The library reads its variables at import; see the last tests."""
    with running_hub() as server:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub_cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no_token"))
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
            monkeypatch.delenv(name, raising=False)
        yield server


@pytest.fixture
def model(hub: Hub, tiny_llama: Path) -> Repository:
    """A repository with the tiny checkpoint and much that no stage reads."""
    repository = hub.repositories.setdefault(MODEL, Repository())
    repository.commit(checkpoint(tiny_llama))
    return repository


def checkpoint(directory: Path) -> dict[str, bytes]:
    files = {path.name: path.read_bytes() for path in directory.iterdir()}
    unread = (
        "README.md",
        "modeling_evil.py",
        "pytorch_model.bin",
        "pytorch_model.bin.index.json",
        "original/consolidated.safetensors",
        "consolidated.safetensors",
        "model.fp16.safetensors",
        "onnx/model.onnx",
        ".gitattributes",
    )
    return files | {name: b"not for us: " + name.encode() for name in unread}


def locate(uri: str) -> HubLocation:
    location = parse_uri(uri)
    assert isinstance(location, HubLocation)
    return location


def open_uri(uri: str) -> Artifact:
    return open_hub(locate(uri))


def test_a_pinned_commit_gives_a_checkpoint_and_nothing_that_runs_or_repeats(
    hub: Hub, model: Repository, tiny_llama: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commit = model.branches["main"]
    artifact = open_uri(f"hf://{MODEL}@{commit}")
    expected = open_directory(tiny_llama)
    assert artifact.manifest.files == expected.manifest.files
    assert artifact.digest == content_digest("", artifact.manifest.files) == expected.digest
    assert artifact.manifest.kind == ""
    assert artifact.reference == f"hf://{MODEL}@{commit}"
    assert open_checkpoint(artifact.path).tensors
    assert sorted(set(hub.downloads())) == sorted(path.name for path in tiny_llama.iterdir())
    assert "is commit" not in capsys.readouterr().err


def test_a_branch_that_moves_is_pinned_anew_at_each_open_and_said_so(
    model: Repository, tiny_llama: Path, other_tiny_llama: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = open_uri(f"hf://{MODEL}")
    before = model.branches["main"]
    after = model.commit(checkpoint(other_tiny_llama))
    second = open_uri(f"hf://{MODEL}@main")
    assert [first.reference, second.reference] == [f"hf://{MODEL}@{before}", f"hf://{MODEL}@{after}"]
    assert first.digest == open_directory(tiny_llama).digest
    assert second.digest == open_directory(other_tiny_llama).digest
    lines = capsys.readouterr().err.splitlines()
    assert f"hf://{MODEL}: the default branch is commit {before} (now)" in lines
    assert f"hf://{MODEL}@main: main is commit {after} (now)" in lines


def test_a_cached_commit_is_opened_without_a_request(hub: Hub, model: Repository) -> None:
    uri = open_uri(f"hf://{MODEL}").reference
    hub.requests.clear()
    assert open_uri(uri).reference == uri
    assert hub.requests == []


def test_offline_the_branch_is_what_it_was_when_last_seen(
    hub: Hub, model: Repository, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    online = open_uri(f"hf://{MODEL}")
    hub.requests.clear()
    capsys.readouterr()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    offline = open_uri(f"hf://{MODEL}")
    assert offline == online
    assert hub.requests == []
    commit = model.branches["main"]
    expected = f"hf://{MODEL}: the default branch is commit {commit} (as cached, the hub is not reachable)"
    assert capsys.readouterr().err.splitlines() == [expected]


@pytest.mark.parametrize("fault", ["gone", "down"])
def test_a_hub_that_cannot_be_reached_is_replaced_by_the_cache(
    hub: Hub, model: Repository, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    online = open_uri(f"hf://{MODEL}@main")
    if fault == "gone":
        monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    else:
        hub.broken = 503
    assert open_uri(f"hf://{MODEL}@main") == online


def test_offline_without_the_cache_says_what_to_do(model: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for uri in (f"hf://{MODEL}", f"hf://{MODEL}@{model.branches['main']}"):
        with pytest.raises(StoreError, match=r"not wholly in the cache .* unset HF_HUB_OFFLINE"):
            open_uri(uri)


def test_offline_with_a_part_of_the_files_is_refused(model: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = open_uri(f"hf://{MODEL}")
    artifact.file("config.json").unlink()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(StoreError, match="not wholly in the cache"):
        open_uri(artifact.reference)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_corrupted_body_is_refused_by_name_and_fetched_again_next_time(
    hub: Hub, model: Repository, name: str, tiny_llama: Path
) -> None:
    hub.corrupted.add(name)
    with pytest.raises(InputError, match=rf"{name} is not what the hub states .* download it again"):
        open_uri(f"hf://{MODEL}")
    hub.corrupted.clear()
    assert open_uri(f"hf://{MODEL}").digest == open_directory(tiny_llama).digest


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_byte_that_changed_in_the_cache_is_found_offline(
    model: Repository, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = open_uri(f"hf://{MODEL}")
    blob = artifact.file(name).resolve()
    content = blob.read_bytes()
    blob.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=f"{name} is not what the hub states"):
        open_uri(artifact.reference)


def test_a_body_that_breaks_off_is_continued_where_it_stopped(
    hub: Hub, model: Repository, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The library keeps whole blocks; its own are larger than the tiny model.
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1024)
    hub.cut.add("model.safetensors")
    assert open_uri(f"hf://{MODEL}").digest == open_directory(tiny_llama).digest
    ranges = [wanted for method, path, wanted in hub.requests if path.startswith("/storage") and method == "GET"]
    kept = (tiny_llama / "model.safetensors").stat().st_size // 2 // 1024 * 1024
    assert ranges == [None, f"bytes={kept}-"]


def test_after_a_failed_download_only_the_missing_files_are_fetched(hub: Hub, model: Repository) -> None:
    hub.corrupted.add("model.safetensors")
    with pytest.raises(InputError):
        open_uri(f"hf://{MODEL}")
    hub.corrupted.clear()
    hub.requests.clear()
    open_uri(f"hf://{MODEL}")
    assert hub.downloads() == ["model.safetensors"]


def test_a_repository_that_is_not_there_is_one_line(hub: Hub) -> None:
    with pytest.raises(InputError, match=r"^hf://storm/none was not found; check its name, or set HF_TOKEN"):
        open_uri("hf://storm/none")


def test_a_revision_that_is_not_there_is_one_line(model: Repository) -> None:
    with pytest.raises(InputError, match=r"^hf://storm/tiny@v9 has no revision 'v9'; give a branch"):
        open_uri(f"hf://{MODEL}@v9")
    with pytest.raises(InputError, match="has no revision"):
        open_uri(f"hf://{MODEL}@{'0' * 40}")


def test_a_private_repository_opens_with_the_token_of_the_environment_which_storage_never_sees(
    hub: Hub, model: Repository, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model.token = "hf_right_one"  # noqa: S105 (no real one)
    with pytest.raises(InputError, match="was not found; check its name, or set HF_TOKEN if it is private"):
        open_uri(f"hf://{MODEL}")
    monkeypatch.setenv("HF_TOKEN", "hf_wrong_one")
    with pytest.raises(StoreError, match=r"was refused \(HTTP 403\); check the token in HF_TOKEN") as refused:
        open_uri(f"hf://{MODEL}")
    monkeypatch.setenv("HF_TOKEN", "hf_right_one")
    hub.cut.add("model.safetensors")
    artifact = open_uri(f"hf://{MODEL}")
    said = capsys.readouterr().err + str(refused.value) + artifact.manifest.to_json()
    assert "hf_right" not in said and "hf_wrong" not in said and "signature" not in said
    assert "Bearer hf_right_one" in hub.tokens["hub"]
    assert hub.tokens["storage"] == {None}


def test_a_gated_repository_says_how_to_be_let_in(model: Repository) -> None:
    model.gated = True
    with pytest.raises(StoreError, match="is gated; accept its terms on its page and set HF_TOKEN"):
        open_uri(f"hf://{MODEL}")


def test_a_repository_of_pickles_is_refused_before_a_download(hub: Hub) -> None:
    repository = hub.repositories.setdefault(MODEL, Repository())
    repository.commit({"config.json": b"{}", "pytorch_model.bin": b"pickle"})
    with pytest.raises(InputError, match=r"only pytorch_model.bin; convert it: pickle files are never loaded"):
        open_uri(f"hf://{MODEL}")
    assert hub.downloads() == []


@pytest.mark.parametrize("name", ["../evil.json", "/etc/evil.json", "a/../../evil.json", "..\\evil.json"])
@pytest.mark.parametrize("prefix", ["", "datasets/"])
def test_a_listed_name_that_leads_outside_is_refused_before_a_download(
    hub: Hub, tiny_llama: Path, name: str, prefix: str
) -> None:
    repository = hub.repositories.setdefault(prefix + MODEL, Repository())
    repository.commit({**checkpoint(tiny_llama), name: b"{}"})
    with pytest.raises(InputError, match="which is not a plain relative path"):
        open_uri(f"hf://{prefix}{MODEL}")
    assert hub.downloads() == []


def test_a_hub_that_names_no_commit_is_refused(model: Repository) -> None:
    model.commits["../../evil"] = {}
    model.branches["main"] = "../../evil"
    with pytest.raises(InputError, match="is not a commit"):
        open_uri(f"hf://{MODEL}")


def test_a_dataset_keeps_its_directories_and_leaves_out_what_no_adapter_reads(hub: Hub) -> None:
    repository = hub.repositories.setdefault("datasets/storm/chats", Repository())
    kept = {"data/train.jsonl": b'{"messages": []}\n', "data/test.json": b"[]", "top.yml": b"a: 1\n", "README.md": b"#"}
    unread = {
        "data/README.md": b"#",
        "load.py": b"x",
        "data/a.csv": b"x",
        ".hidden/a.json": b"{}",
        "data/.b.json": b"{}",
    }
    repository.commit(kept | unread)
    artifact = open_uri("hf://datasets/storm/chats@main")
    assert [entry.path for entry in artifact.manifest.files] == sorted(kept)
    assert {name: artifact.file(name).read_bytes() for name in kept} == kept
    assert artifact.reference == f"hf://datasets/storm/chats@{repository.branches['main']}"


def test_a_dataset_of_other_formats_is_refused(hub: Hub) -> None:
    hub.repositories.setdefault("datasets/storm/chats", Repository()).commit({"README.md": b"#"})
    with pytest.raises(InputError, match=r"has no \*\.parquet"):
        open_uri("hf://datasets/storm/chats")


def test_files_that_other_tools_put_into_the_cache_do_not_change_the_artifact(model: Repository) -> None:
    artifact = open_uri(f"hf://{MODEL}")
    (artifact.path / "pytorch_model.bin").write_bytes(b"pickle")
    assert open_uri(artifact.reference) == artifact


def test_a_stage_takes_the_model_from_the_hub_and_its_lineage_names_the_content_of_the_commit(
    model: Repository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fetch", "--source", f"hf://{MODEL}", "--model", str(tmp_path / "fetched")]) == 0
    assert f"the default branch is commit {model.branches['main']} (now)" in capsys.readouterr().err
    assert open_checkpoint(tmp_path / "fetched").tensors
    fetched = read_manifest(tmp_path / "fetched" / MANIFEST_NAME)
    assert fetched.inputs["source"] == [open_uri(f"hf://{MODEL}").digest]


def test_a_stage_refuses_a_repository_with_code_in_one_line(
    model: Repository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = model.commits[model.branches["main"]]
    model.commit(files | {"config.json": b'{"auto_map": {"AutoModel": "modeling_evil.Evil"}}'})
    assert main(["fetch", "--source", f"hf://{MODEL}", "--model", str(tmp_path / "fetched")]) == 1
    assert "auto_map, which runs code from a hub" in capsys.readouterr().err.splitlines()[-1]


def environment(hub: Hub, directory: Path, **changes: str) -> dict[str, str]:
    inherited = {
        key: value for key, value in os.environ.items() if not key.startswith("HF_") and "proxy" not in key.lower()
    }
    return inherited | {"HF_ENDPOINT": hub.url, "HF_HOME": str(directory)} | changes


def run(arguments: list[str], variables: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *arguments], env=variables, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_standard_variables_lead_to_endpoint_cache_and_offline_mode(
    hub: Hub, model: Repository, tmp_path: Path
) -> None:
    code = (
        "import sys; from storm_core.stores.hub import open_hub; from storm_core.stores.uris import parse_uri\n"
        "print(open_hub(parse_uri(sys.argv[1])).path)"
    )
    home = tmp_path / "home"
    online = run(["-c", code, f"hf://{MODEL}"], environment(hub, home))
    assert online.returncode == 0, online.stderr
    assert Path(online.stdout.strip()).is_relative_to(home / "hub")
    hub.requests.clear()
    offline = run(["-c", code, f"hf://{MODEL}"], environment(hub, home, HF_HUB_OFFLINE="1"))
    assert (offline.stdout, hub.requests) == (online.stdout, [])
