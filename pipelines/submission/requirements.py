"""What a run needs that can be looked at before it is submitted: its images, and its secrets in the cluster."""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import kubernetes
import urllib3
import yaml

from pipelines.profiles.fields import Profile
from pipelines.secrets import SECRETS
from storm_core.errors import InputError, first_line
from storm_core.stages import STAGES

# A host has a dot or a port, or is `localhost`; without one a node looks in a public registry for what was built here.
_BY_DIGEST = re.compile(r"(?:localhost|[^/]+[.:][^/]*)/.+@sha256:[0-9a-f]{64}")
_ANSWER_SECONDS = 10
LEAVE_OUT = "KUBECONFIG=/dev/null"
# Kubernetes' library takes for granted that a file is YAML, and a mapping.
_NO_CLUSTER = (kubernetes.config.ConfigException, yaml.YAMLError, UnicodeDecodeError, TypeError)


def check_images(images: Mapping[str, str]) -> None:
    """Refuse images that are not named by digest in a registry.

    Args:
        images: name to pull by verb.

    Raises:
        InputError: it names them and what to give.
    """
    wrong = sorted({name for name in images.values() if not _BY_DIGEST.fullmatch(name)})
    if wrong:
        raise InputError(
            f"{', '.join(wrong)}: not named by digest in a registry, so nodes may have others or none; give --registry "
            "and --digests, or --allow-local-images where every node has these"
        )


def check_secrets(profile: Profile, namespace: str) -> str:
    """Whether the secrets are there was looked at: a line that says so, or why not.

    Raises:
        InputError: one is not there, or lacks a key.
    """
    wanted = _wanted(profile)
    if not wanted:
        return "no secrets are named"
    try:
        context, read = _cluster()
    except _NO_CLUSTER as error:
        return (
            f"not looked at, as no kubeconfig leads to a cluster ({first_line(error).rstrip('.')}): {', '.join(wanted)}"
        )
    try:
        missing = [line for name, keys in wanted.items() for line in _missing(read, name, namespace, keys)]
    except (kubernetes.client.ApiException, urllib3.exceptions.HTTPError) as error:
        return f"not looked at, as the cluster of {context} does not say ({_reason(error)}): {', '.join(wanted)}"
    if missing:
        raise InputError(
            f"namespace {namespace} of {context} has {'; '.join(missing)}; make them, or set {LEAVE_OUT} if that is "
            "not KFP's cluster"
        )
    return f"in namespace {namespace} of {context}: {', '.join(wanted)}"


def _wanted(profile: Profile) -> dict[str, set[str]]:
    """Keys by secret, of all secrets without which a pod does not start."""
    wanted = {name: set(SECRETS[kind].required) for kind, name in profile.secrets.items()}
    for name in profile.image_pull_secrets:
        wanted.setdefault(name, set())
    for verb in STAGES:
        task = profile.task(verb)
        for variables in task.environment_from:
            if variables.secret and not variables.optional:
                wanted.setdefault(variables.secret, set()).update(variables.keys)
        for files in task.files_from:
            if files.secret and not files.optional:
                wanted.setdefault(files.secret, set())
    return wanted


def _cluster() -> tuple[str, Callable[..., Any]]:
    """The current context's name, and what reads a secret of its cluster."""
    settings = kubernetes.client.Configuration()
    settings.retries = False
    # Its own default is what the variable was when the library was imported.
    file = os.environ.get("KUBECONFIG") or None
    kubernetes.config.load_kube_config(config_file=file, client_configuration=settings)
    _, current = kubernetes.config.list_kube_config_contexts(config_file=file)
    api = kubernetes.client.CoreV1Api(kubernetes.client.ApiClient(settings))
    return str(current["name"]), api.read_namespaced_secret


def _missing(read: Callable[..., Any], name: str, namespace: str, keys: set[str]) -> Iterator[str]:
    try:
        secret = read(name, namespace, _request_timeout=_ANSWER_SECONDS)
    except kubernetes.client.ApiException as error:
        if error.status != 404:
            raise
        yield f"no secret {name}"
        return
    lacking = sorted(keys - set(secret.data or {}))
    if lacking:
        yield f"no key {', '.join(lacking)} in the secret {name}"


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", None) or type(error).__name__).rpartition(">: ")[2]
