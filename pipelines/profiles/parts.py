"""The values of a profile that have fields of their own: devices, tolerations, sources of variables and of files."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.profiles import kubernetes_kinds as kinds
from pipelines.profiles.kinds import Kind, choice, field, listed, record, refuse, truth, whole_number
from storm_core.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Accelerator:
    """Devices of one kind, by the name of their resource."""

    resource: str
    count: int


@dataclass(frozen=True, kw_only=True)
class Toleration:
    """A taint that a task's pod may be placed in spite of."""

    key: str | None = field(kinds.LABEL_KEY, "the taint's key", None)
    operator: str | None = field(choice("Equal", "Exists"), "how the value is compared", None)
    value: str | None = field(kinds.LABEL_VALUE, "the taint's value", None)
    effect: str | None = field(choice("NoSchedule", "PreferNoSchedule", "NoExecute"), "which effect", None)
    seconds: int | None = field(whole_number(0, 10**9), "how long NoExecute is borne", None)


_KEYS = "a list of keys, or a mapping of keys to variables"


def _read_keys(path: str, given: Any) -> dict[str, str]:
    """Variables by key; of a list each key is the variable's name."""
    if isinstance(given, list):
        given = dict(zip(given, given, strict=True)) if all(isinstance(one, str) for one in given) else None
    if not isinstance(given, dict) or not given:
        refuse(path, _KEYS, given)
    return {kinds.KEY.read(path, key): kinds.VARIABLE.read(path, variable) for key, variable in given.items()}


KEYS = Kind(_KEYS, _read_keys)


@dataclass(frozen=True, kw_only=True)
class EnvironmentSource:
    """Variables out of a secret or a config map."""

    keys: Mapping[str, str] = field(KEYS, "which keys become which variables")
    secret: str | None = field(kinds.NAME, "the secret's name", None)
    config_map: str | None = field(kinds.NAME, "the config map's name", None)
    optional: bool = field(truth(), "whether a pod starts without it", False)


@dataclass(frozen=True, kw_only=True)
class FileSource:
    """Files out of a secret or a config map, one for each key."""

    path: str = field(kinds.MOUNT_PATH, "the directory of the files")
    secret: str | None = field(kinds.MOUNTED_NAME, "the secret's name", None)
    config_map: str | None = field(kinds.MOUNTED_NAME, "the config map's name", None)
    optional: bool = field(truth(), "whether a pod starts without it", False)


def _check_source(path: str, source: EnvironmentSource | FileSource) -> None:
    if (source.secret is None) == (source.config_map is None):
        raise InputError(f"{path} must name either a secret or a config_map")


def _check_toleration(path: str, toleration: Toleration) -> None:
    if toleration.operator == "Exists" and toleration.value:
        raise InputError(f"{path}.value must be left out where operator is Exists")
    if toleration.key is None and toleration.operator != "Exists":
        raise InputError(f"{path}.operator must be Exists where key is left out; that tolerates every taint")
    if toleration.seconds is not None and toleration.effect != "NoExecute":
        raise InputError(f"{path}.seconds is for effect NoExecute alone")


def _read_accelerator(path: str, given: Any) -> Accelerator:
    if not isinstance(given, dict) or len(given) != 1:
        refuse(path, ACCELERATOR.allowed, given)
    ((resource, count),) = given.items()
    return Accelerator(
        resource=kinds.RESOURCE_NAME.read(f"the key of {path}", resource),
        count=whole_number(1, 64).read(f"{path}.{resource}", count),
    )


ACCELERATOR = Kind("one resource and how many of it, such as {nvidia.com/gpu: 1}", _read_accelerator)
TOLERATIONS = listed(
    record(Toleration, _check_toleration), "a list of mappings with key, operator, value, effect and seconds"
)
ENVIRONMENT_SOURCES = listed(
    record(EnvironmentSource, _check_source), "a list of mappings with secret or config_map, keys, and perhaps optional"
)
FILE_SOURCES = listed(
    record(FileSource, _check_source), "a list of mappings with secret or config_map, path, and perhaps optional"
)
