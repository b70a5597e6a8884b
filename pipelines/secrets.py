"""The Kubernetes secrets that a compiled pipeline may name: what each is for, its keys, and which tasks get it.

A secret reaches a task's container as environment variables, named as its keys are. Names of secrets are in the
compiled pipeline; what they hold never is.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from storm_core.errors import InputError

# Tasks that read what a run's arguments refer to, not what another task made.
_READERS_OF_REFERENCES = ("fetch", "prepare", "score", "audit", "train", "evaluate")
# A DNS subdomain name, as Kubernetes has it of secrets and service accounts.
_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
NAME_RULE = "a valid Kubernetes name: at most 253 of a-z, 0-9, '-' and '.', a letter or digit first and last"


@dataclass(frozen=True, kw_only=True)
class Secret:
    """One kind of secret.

    Attributes:
        purpose: what it lets a task do.
        required: keys without which a pod does not start.
        optional: keys that may be left out.
        verbs: whose tasks get it; None for every task.
    """

    purpose: str
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    verbs: tuple[str, ...] | None = None

    def keys(self) -> str:
        """The keys in words."""
        optional = f"; optional: {', '.join(self.optional)}" if self.optional else ""
        return f"keys: {', '.join(self.required)}{optional}"

    def describe(self, name: str) -> str:
        """What the secret of this kind called `name` must hold, and what for, in a line."""
        tasks = "every task" if self.verbs is None else ", ".join(self.verbs)
        return f"secret {name} ({self.keys()}), with which {tasks} can {self.purpose}"


SECRETS: Mapping[str, Secret] = {
    "s3": Secret(
        purpose="read and write the artifact store",
        required=("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
        optional=("AWS_SESSION_TOKEN", "AWS_REGION", "AWS_ENDPOINT_URL_S3"),
    ),
    "hub": Secret(
        purpose="read private or gated models and data sets",
        required=("HF_TOKEN",),
        optional=("HF_ENDPOINT",),
        verbs=_READERS_OF_REFERENCES,
    ),
    "judge": Secret(
        purpose="ask the endpoint that serves the judge",
        required=("OPENAI_API_KEY",),
        verbs=("score", "audit"),
    ),
    "mlflow": Secret(
        purpose="log runs and register models, as a user",
        required=("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"),
    ),
    "mlflow-token": Secret(
        purpose="log runs and register models, by a token",
        required=("MLFLOW_TRACKING_TOKEN",),
    ),
}


def is_name(text: str) -> bool:
    """Whether Kubernetes takes the text as the name of a secret, a config map or a service account."""
    return bool(_NAME.fullmatch(text))


def check_name(what: str, name: str) -> None:
    """Refuse what cannot be the name of a secret or a service account.

    Raises:
        InputError: it says what Kubernetes allows.
    """
    if not is_name(name):
        raise InputError(f"{what} must be {NAME_RULE}; got {name!r}")
