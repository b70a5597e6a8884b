"""What runs the graph on this machine, each engine with its store: subprocesses of this Python, or containers."""

import contextlib
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pipelines.local import run_in_subprocesses
from pipelines.storm import storm_pipeline
from storm_core.errors import InputError
from storm_core.own_servers import spare_own_servers
from storm_core.stores.locations import FileLocation
from storm_core.stores.references import STORE_VARIABLE, open_store
from storm_core.stores.uris import parse_uri

SUBPROCESS, DOCKER = "subprocess", "docker"
LOOPBACK = ("localhost", "127.0.0.1", "::1")
# What kfp.local replaces wherever it reads it, in a path too: placeholders, and the place of a workspace.
_REPLACED = ("{{$", "/kfp-workspace")
# Docker's mounts of KFP's directory end a path at a colon.
_NOT_IN_PATHS = {SUBPROCESS: _REPLACED, DOCKER: (*_REPLACED, ":")}


@dataclass(frozen=True, kw_only=True)
class Engine:
    """An engine that is ready: `run` takes run arguments and returns the pipeline's outputs.

    Attributes:
        models: where a person finds the models afterwards: a directory, or words.
    """

    run: Callable[[dict[str, Any]], dict[str, Any]]
    models: Path | str


@contextlib.contextmanager
def in_subprocesses(directory: Path, *, alone: bool) -> Iterator[Engine]:
    """The engine without containers, for the run in `directory`, whether or not it is `alone`."""
    with contextlib.ExitStack() as stack:
        if STORE_VARIABLE not in os.environ:
            stack.enter_context(_stages_use(own_store(directory)))
        location = parse_uri(os.environ[STORE_VARIABLE])
        yield Engine(
            run=partial(run_in_subprocesses, storm_pipeline(), pipeline_root=directory / "kfp"),
            models=location.path / "model" if isinstance(location, FileLocation) else f"{location.uri}/model",
        )


@contextlib.contextmanager
def in_containers(directory: Path, *, alone: bool) -> Iterator[Engine]:
    """The engine with containers, its network and its servers.

    Args:
        directory: of the run.
        alone: whether the run's arguments name nothing on other machines. Then, and with a store of its own, the
            network has no way out.

    Raises:
        InputError: no Docker daemon answers, or a server does not start.
    """
    from pipelines import docker, services  # noqa: PLC0415 (only this engine needs Docker's library)

    has_own_store = STORE_VARIABLE not in os.environ
    with contextlib.ExitStack() as stack:
        network = stack.enter_context(services.network(closed=has_own_store and alone))
        spare_own_servers(network.gateway)
        served = ""
        if has_own_store:
            data = directory / "s3"
            stack.enter_context(_stages_use(stack.enter_context(services.s3_store(data, network.gateway))))
            command = [sys.executable, "-m", "pipelines.s3_server", "--directory", str(data)]
            served = f", when served: {shlex.join(command)}"
        tracking_uri = stack.enter_context(services.mlflow_server(directory, network.gateway))
        run = partial(
            docker.run_in_containers,
            storm_pipeline(),
            pipeline_root=directory / "kfp",
            cache=directory / "cache",
            network=network,
            tracking_uri=tracking_uri,
        )
        yield Engine(run=run, models=f"{os.environ[STORE_VARIABLE]}/model{served}")


@contextlib.contextmanager
def _stages_use(store: str) -> Iterator[None]:
    """The store of all stages that are started meanwhile, where none is named; whoever runs next has its own."""
    os.environ[STORE_VARIABLE] = store
    try:
        yield
    finally:
        del os.environ[STORE_VARIABLE]


ENGINES = {SUBPROCESS: in_subprocesses, DOCKER: in_containers}


def own_store(directory: Path) -> str:
    """The URI of the store that a run in `directory` has where none is named."""
    return FileLocation(path=directory / "artifacts").uri


def check_path(directory: Path, engine: str) -> None:
    """Refuse a directory of a run by whose name one of those who are told it would be misled.

    Raises:
        InputError: no store can lie there, or KFP or Docker takes a part of its path for something else.
    """
    for text in _NOT_IN_PATHS[engine]:
        if text in str(directory):
            raise InputError(f"no run can be in {str(directory)!r}: KFP would misread {text!r}; rename that folder")
    try:
        parse_uri(own_store(directory))
    except InputError as error:
        raise InputError(f"no run can be in {str(directory)!r}, nor its store: {error}; rename that folder") from error


def check_store(engine: str) -> None:
    """Refuse a store that cannot be used, before anything is made.

    Raises:
        InputError: it is none; or, for containers, it is no S3 store, or its server listens where nothing but this
            machine reaches it.
        StoreError: the AWS configuration cannot be used.
    """
    store = os.environ.get(STORE_VARIABLE)
    if store is None:
        return
    open_store(store)
    if engine != DOCKER:
        return
    if not store.startswith("s3://"):
        raise InputError(f"containers need a store in S3; unset {STORE_VARIABLE}={store}, and the run starts its own")
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    if urlsplit(endpoint).hostname in LOOPBACK:
        raise InputError(f"containers cannot reach {endpoint}; let the server listen on an address that they can reach")
