"""What runs the graph on this machine, each engine with its store: subprocesses of this Python, or containers."""

import contextlib
import os
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
from storm_core.stores.references import STORE_VARIABLE

SUBPROCESS, DOCKER = "subprocess", "docker"
LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, kw_only=True)
class Engine:
    """An engine that is ready: `run` takes run arguments and returns the pipeline's outputs.

    Attributes:
        models: where a person finds the models afterwards.
    """

    run: Callable[[dict[str, Any]], dict[str, Any]]
    models: str


@contextlib.contextmanager
def in_subprocesses(directory: Path, *, alone: bool) -> Iterator[Engine]:
    """The engine without containers, for the run in `directory`, whether or not it is `alone`."""
    store = os.environ.setdefault(STORE_VARIABLE, (directory / "artifacts").as_uri())
    yield Engine(
        run=partial(run_in_subprocesses, storm_pipeline(), pipeline_root=directory / "kfp"),
        models=f"{store.removeprefix('file://')}/model",
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

    own_store = STORE_VARIABLE not in os.environ
    with contextlib.ExitStack() as stack:
        network = stack.enter_context(services.network(closed=own_store and alone))
        served = ""
        if own_store:
            data = directory / "s3"
            os.environ[STORE_VARIABLE] = stack.enter_context(services.s3_store(data, network.gateway))
            served = f", when served: {sys.executable} -m pipelines.s3_server --directory {data}"
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


ENGINES = {SUBPROCESS: in_subprocesses, DOCKER: in_containers}


def check_store(engine: str) -> None:
    """Refuse a store that containers cannot reach.

    Raises:
        InputError: it is no S3 store, or its server listens where nothing but this machine reaches it.
    """
    store = os.environ.get(STORE_VARIABLE)
    if engine != DOCKER or store is None:
        return
    if not store.startswith("s3://"):
        raise InputError(f"containers need a store in S3; unset {STORE_VARIABLE}={store}, and the run starts its own")
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    if urlsplit(endpoint).hostname in LOOPBACK:
        raise InputError(f"containers cannot reach {endpoint}; let the server listen on an address that they can reach")
