"""What a run starts from: local paths as artifacts of the store, and what no pod reaches refused."""

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pipelines.arguments import run_arguments
from pipelines.profiles.fields import Profile
from storm_core.artifact_commands.transfer import with_kind
from storm_core.errors import InputError
from storm_core.manifest import Manifest
from storm_core.stages import STAGES
from storm_core.stores.references import open_reference, open_store
from storm_core.stores.store import Store
from storm_core.stores.uris import parse_uri

# As what the stages take the arguments.
KINDS = {
    "base_model": "model",
    "sibling_model": "model",
    "data": "data",
    "score_rubrics": "rubrics",
    "train_held_out": "data",
}


@dataclass(frozen=True, kw_only=True)
class LocalArtifact:
    """What lies at a local path, and its place in the store.

    Attributes:
        uri: where it lies in the store or will.
        is_there: whether it lies there already.
    """

    directory: Path
    manifest: Manifest
    uri: str
    is_there: bool

    def size(self) -> int:
        """Bytes of all its files."""
        return sum(entry.size for entry in self.manifest.files)


def local_artifacts(arguments: Mapping[str, Any], store_uri: str | None) -> dict[str, LocalArtifact]:
    """Those references that are local paths, by argument.

    Raises:
        InputError: nothing is at a path, there is no store to bring it to, or one of the other references is no URI.
        StoreError: the store cannot be used from here.
    """
    given = {name: arguments.get(name, "") for name in KINDS}
    local = {name: path for name, path in given.items() if path and "://" not in path}
    for name, uri in given.items():
        if uri and name not in local:
            _check_uri(name, uri)
    if not local:
        return {}
    if store_uri is None:
        raise InputError(f"no pod has the paths of {', '.join(local)}, and there is no --store to bring them to")
    store = open_store(store_uri)
    found: dict[tuple[str, str], LocalArtifact] = {}
    for name, path in local.items():
        if (path, KINDS[name]) not in found:
            found[path, KINDS[name]] = _look_at(store, name, path)
    return {name: found[path, KINDS[name]] for name, path in local.items()}


def push(local: Mapping[str, LocalArtifact], store_uri: str) -> None:
    """Bring to the store what is not there.

    Raises:
        StoreError: the store cannot be written.
    """
    store = open_store(store_uri)
    for one in {one.uri: one for one in local.values()}.values():
        if not one.is_there:
            store.publish_copy(one.directory, one.manifest)


def submitted(arguments: Mapping[str, Any], local: Mapping[str, LocalArtifact]) -> dict[str, Any]:
    """The arguments with URIs in place of local paths."""
    return {**arguments, **{name: one.uri for name, one in local.items()}}


def check_addresses(arguments: Mapping[str, Any], profile: Profile) -> None:
    """Refuse addresses that lead a pod to itself, and files of this machine.

    Raises:
        InputError: it names the argument or the field, and the address.
    """
    for name, address in (*_in_arguments(arguments), *_in_profile(profile)):
        if address.startswith("file://") or "file:///" in address:
            raise InputError(f"{name} is {address}, which is a path of this machine; no pod has it")
        if _is_own_host(address):
            raise InputError(f"{name} is {address}, which leads a pod to itself; give an address of the cluster")


def _look_at(store: Store, name: str, path: str) -> LocalArtifact:
    try:
        artifact = open_reference(path)
        manifest = with_kind(artifact, path, None if artifact.manifest.kind else KINDS[name])
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    stored = store.artifact(manifest.kind, manifest.digest)
    try:
        stored.check()
        is_there = True
    except InputError:
        is_there = False
    return LocalArtifact(directory=artifact.path, manifest=manifest, uri=stored.location.uri, is_there=is_there)


def _check_uri(name: str, uri: str) -> None:
    try:
        parse_uri(uri)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error


def _in_arguments(arguments: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in arguments.items():
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and "://" in text and name != "score_endpoint":
                yield name, text
    if arguments.get("score_engine") == "openai":
        yield "score_endpoint", arguments.get("score_endpoint", run_arguments()["score_endpoint"].default)


def _in_profile(profile: Profile) -> Iterator[tuple[str, str]]:
    if profile.tracking_uri:
        yield "the tracking URI", profile.tracking_uri
    for verb in STAGES:
        for variable, value in profile.task(verb).environment.items():
            if "://" in value:
                yield f"{variable} of {verb}", value


def _is_own_host(address: str) -> bool:
    host = urlsplit(address).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return False
    return found.is_loopback or found.is_unspecified
