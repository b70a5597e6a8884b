"""Models and data sets of a Hugging Face hub: one commit's files, verified, in the hub library's own cache.

Endpoint, cache, token and offline mode come from the library's own variables and files only: `HF_ENDPOINT`, `HF_HOME`
or `HF_HUB_CACHE`, `HF_TOKEN`, `HF_HUB_OFFLINE`. Files that are cached whole are never asked for again.
"""

import hashlib
import json
import logging
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from storm_core.artifacts import Artifact, hash_file
from storm_core.errors import InputError, StoreError
from storm_core.heartbeat import activity
from storm_core.manifest import FileEntry, Manifest, check_relative_path, content_digest
from storm_core.progress import progress, report, shows_bars
from storm_core.stores.hub_proxies import unusable_proxy
from storm_core.stores.locations import HubLocation

if TYPE_CHECKING:
    from huggingface_hub import RepoFile
    from huggingface_hub.errors import HfHubHTTPError

_COMMIT = re.compile("[0-9a-f]{40}")
_ANSWER_SECONDS = 10.0
_HASHING_THREADS = 4

# A checkpoint lies at the top of its repository; below it lie other formats of the same weights (original/, onnx/). At
# the top, `consolidated*` and `model.fp16.safetensors` hold the weights a second time.
_MODEL_FILES = ["*.safetensors", "*.json", "*.jinja", "*.txt", "*.model"]
_MODEL_DUPLICATES = ["*/*", ".*", "consolidated*", "model.*.safetensors*", "*.bin.index.json", "*.h5.index.json"]
# What the adapters of `storm_core.sources` read.
_DATASET_FILES = ["*.parquet", "*.arrow", "*.jsonl", "*.jsonl.gz", "*.json", "*.json.gz", "*.yaml", "*.yml"]
# It says which files are which split.
_DATASET_CARD = "README.md"
_DATASET_HIDDEN = [".*", "*/.*"]
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def open_hub(location: HubLocation) -> Artifact:
    """The files of one commit that a recipe may read, of kind `""`; its URI names the commit.

    Every file is compared with the hash that the hub states: the SHA-256 of a large file, the git ID of a small one.

    Raises:
        InputError: no such repository or revision; no safetensors in a model's; a file name that leads outside; or a
            file that is not what the hub states.
        StoreError: no access; or not all files are in the cache and the hub cannot be reached, or fails.
    """
    try:
        import huggingface_hub  # noqa: F401
    except ModuleNotFoundError:
        raise InputError(f"{location.uri} needs huggingface_hub; install 'storm-kubeflow[hub]'") from None
    with _quiet_library(), _plain_errors(location):
        commit = _resolve(location)
        pinned = replace(location, revision=commit)
        files = _select(pinned, _list_files(pinned))
        directory = _download(pinned, files)
        with ThreadPoolExecutor(_HASHING_THREADS) as pool:
            checked = pool.map(lambda file: _verify(pinned, directory / file.path, file), files)
            shown = progress(checked, total=len(files), description=f"verify {location.repository}", unit="files")
            entries = tuple(sorted(shown, key=lambda entry: entry.path))
    manifest = Manifest(kind="", files=entries, digest=content_digest("", entries), uri=pinned.uri)
    return Artifact(path=directory, manifest=manifest)


def _resolve(location: HubLocation) -> str:
    """The commit, 40 hex digits, that the revision names now, or named when the hub was last reached."""
    from huggingface_hub import HfApi

    if location.revision and _COMMIT.fullmatch(location.revision):
        return location.revision
    hub, repository, kind = HfApi(), location.repository, _kind(location)
    offline = not _is_reachable(location)
    # This call also remembers the commit in the cache, for a time without the hub.
    commit = hub.resolve_revision(
        repository, repo_type=kind, revision=location.revision, local_files_only=offline
    ).resolved
    if not _COMMIT.fullmatch(commit):
        raise InputError(f"{location.uri} leads to {commit[:60]!r}, which is not a commit; check HF_ENDPOINT")
    source = "as cached, the hub is not reachable" if offline else "now"
    report(f"{location.uri}: {location.revision or 'the default branch'} is commit {commit} ({source})")
    return commit


def _is_reachable(location: HubLocation) -> bool:
    """Whether the hub answers for this repository; what it answers other than "I am down" is for the caller."""
    import httpx2
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        HfApi().repo_info(
            location.repository, repo_type=_kind(location), revision=location.revision, timeout=_ANSWER_SECONDS
        )
    except (httpx2.TransportError, OfflineModeIsEnabled):
        return False
    except HfHubHTTPError as error:
        if error.response.status_code < 500:
            raise
        return False
    return True


def _list_files(pinned: HubLocation) -> "list[RepoFile]":
    """Every file of the commit; from the cache where it is known, for it never changes."""
    from huggingface_hub import HfApi, RepoFile, get_cached_repo_tree
    from huggingface_hub.errors import CachedRepoTreeNotFoundError

    try:
        return get_cached_repo_tree(pinned.repository, repo_type=_kind(pinned), revision=pinned.revision)
    except CachedRepoTreeNotFoundError:
        tree = HfApi().list_repo_tree(
            pinned.repository, repo_type=_kind(pinned), revision=pinned.revision, recursive=True
        )
        return [entry for entry in tree if isinstance(entry, RepoFile)]


def _select(pinned: HubLocation, listed: "list[RepoFile]") -> "list[RepoFile]":
    """The files that a recipe may read.

    Raises:
        InputError: a listed name leads outside, or there is nothing to read.
    """
    for file in listed:
        check_relative_path(file.path, Path(pinned.repository))
    allowed, ignored = _patterns(pinned)
    files = [
        file
        for file in listed
        if any(fnmatchcase(file.path, pattern) for pattern in allowed)
        and not any(fnmatchcase(file.path, pattern) for pattern in ignored)
    ]
    names = [file.path for file in files]
    if pinned.is_dataset and set(names) <= {_DATASET_CARD}:
        raise InputError(f"{pinned.uri} has no {', '.join(_DATASET_FILES)} file; is it a data set of another format?")
    if not pinned.is_dataset and not any(name.endswith(".safetensors") for name in names):
        pickles = sorted(file.path for file in listed if file.path.endswith(_PICKLES))
        found = f"only {pickles[0]}; convert it: pickle files are never loaded" if pickles else "at its top level"
        raise InputError(f"{pinned.uri} has no safetensors file, {found}")
    return files


def _patterns(location: HubLocation) -> tuple[list[str], list[str]]:
    if location.is_dataset:
        return [*_DATASET_FILES, _DATASET_CARD], _DATASET_HIDDEN
    return _MODEL_FILES, _MODEL_DUPLICATES


def _download(pinned: HubLocation, files: "list[RepoFile]") -> Path:
    """The cache's directory of the commit, with all of `files` in it; whole files that lie there are kept."""
    from huggingface_hub import snapshot_download, try_to_load_from_cache
    from tqdm import tqdm

    repository, kind = pinned.repository, _kind(pinned)
    missing = [
        file
        for file in files
        if not isinstance(try_to_load_from_cache(repository, file.path, repo_type=kind, revision=pinned.revision), str)
    ]
    if missing:
        size = sum(file.size for file in missing) / 1e6
        report(f"{pinned.uri}: {len(missing)} of {len(files)} files are not cached, {size:.1f} MB to download")
    allowed, ignored = _patterns(pinned)
    with activity(f"download {len(missing)} files of {repository}"):
        directory = snapshot_download(
            repository,
            repo_type=kind,
            revision=pinned.revision,
            allow_patterns=allowed,
            ignore_patterns=ignored,
            tqdm_class=tqdm if missing and shows_bars() else None,
        )
    return Path(directory)


def _verify(pinned: HubLocation, path: Path, file: "RepoFile") -> FileEntry:
    """The file's entry; a file that is not what the hub states is taken out of the cache, where it would stay for ever.

    Raises:
        InputError: names that file.
    """
    sha256 = hash_file(path)
    if not _is_stated(path, file, sha256):
        with suppress(OSError):
            path.resolve().unlink()
        raise InputError(f"{pinned.uri}: {file.path} is not what the hub states (SHA-256 {sha256}); download it again")
    return FileEntry(path=file.path, size=path.stat().st_size, sha256=sha256)


def _is_stated(path: Path, file: "RepoFile", sha256: str) -> bool:
    """Whether the content is the one of the listing.

    A cached listing has no SHA-256, but the git ID of every file; git keeps a pointer in place of a large file
    (https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md). The cache names large files by the SHA-256 that the hub
    stated, which also covers a pointer that was not written in the standard form.
    """
    if file.lfs is not None:
        return bool(sha256 == file.lfs.sha256)
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {path.stat().st_size}\n".encode()
    if file.blob_id == _git_id(len(pointer), [pointer]) or path.resolve().name == sha256:
        return True
    return bool(file.blob_id == _git_id(path.stat().st_size, _blocks(path)))


def _git_id(size: int, blocks: "list[bytes] | Iterator[bytes]") -> str:
    """Git's name of a file: SHA-1 over its size and content. It compares with what git says and secures nothing."""
    digest = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    for block in blocks:
        digest.update(block)
    return digest.hexdigest()


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            yield block


def _kind(location: HubLocation) -> str:
    return "dataset" if location.is_dataset else "model"


@contextmanager
def _quiet_library() -> Iterator[None]:
    """Keep the library's warnings back: they show download URLs, which are signed and open private files.

    Its bars are kept back too; `_download` gives it ours where there is a terminal.
    """
    from huggingface_hub.utils.logging import get_verbosity, set_verbosity
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    verbosity, no_bars = get_verbosity(), are_progress_bars_disabled()
    set_verbosity(logging.CRITICAL)
    disable_progress_bars()
    try:
        yield
    finally:
        set_verbosity(verbosity)
        if not no_bars:
            enable_progress_bars()


@contextmanager
def _plain_errors(location: HubLocation) -> Iterator[None]:
    """Turn what the library raises into one line without URLs, tokens or request IDs."""
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RevisionResolutionError

    try:
        yield
    except HfHubHTTPError as error:
        raise _refusal(location, error) from None
    except (LocalEntryNotFoundError, RevisionResolutionError, httpx2.TransportError, ConnectionError) as error:
        cause = error.__cause__
        if isinstance(cause, HfHubHTTPError) and cause.response.status_code < 500:
            raise _refusal(location, cause) from None
        raise StoreError(
            f"{location.uri} is not wholly in the cache and the hub cannot be reached; unset HF_HUB_OFFLINE, check "
            "HF_ENDPOINT and the network, or fill the cache (HF_HOME) on a machine that reaches the hub"
        ) from None
    except json.JSONDecodeError:
        raise StoreError(f"{location.uri}: the answer is not a hub's; check HF_ENDPOINT and the proxy") from None
    except (ImportError, ValueError) as error:
        proxy = None if isinstance(error, InputError) else unusable_proxy()
        if proxy is None:
            raise
        raise StoreError(f"{location.uri} cannot be asked for: {proxy}; give an HTTP proxy, or unset it") from None
    except OSError as error:
        if error.errno is not None:
            raise
        # The library's word for a body of another length than announced, or a hub that names no commit or hash.
        raise StoreError(f"{location.uri} was not downloaded whole; run again") from None


def _refusal(location: HubLocation, error: "HfHubHTTPError") -> InputError | StoreError:
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    uri, status = location.uri, error.response.status_code
    if isinstance(error, GatedRepoError):
        return StoreError(f"{uri} is gated; accept its terms on its page and set HF_TOKEN to a token of that account")
    if isinstance(error, RepositoryNotFoundError):
        return InputError(f"{uri} was not found; check its name, or set HF_TOKEN if it is private")
    if isinstance(error, RevisionNotFoundError):
        return InputError(f"{uri} has no revision {location.revision!r}; give a branch, a tag or a commit")
    if status in (401, 403):
        return StoreError(f"{uri} was refused (HTTP {status}); check the token in HF_TOKEN and its rights")
    return StoreError(f"{uri} could not be read: the hub answered HTTP {status}; try again later")
