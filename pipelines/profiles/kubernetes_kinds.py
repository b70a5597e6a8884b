"""The kinds of values that Kubernetes has rules for: names, labels, places of files, variables."""

import posixpath
import re
from urllib.parse import urlsplit

from pipelines.profiles.kinds import Kind, matching, number_or_text, refuse, text
from pipelines.profiles.quantities import is_bytes, is_processors
from pipelines.secrets import NAME_RULE, is_name

_LABEL_VALUE = r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?"
_QUALIFIED = re.compile(r"(?:([^/]+)/)?([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)", re.ASCII)
# Whose prefixes and names mark the pods of a workflow and of a run.
_OWNERS = ("workflows.argoproj.io/", "pipelines.kubeflow.org/", "pipeline/")
# Where the image, KFP's launcher, the kernel or another field of a profile has its own.
_TAKEN = {"bin", "boot", "dev", "etc", "gcs", "kfp-launcher", "lib", "lib64", "minio", "opt", "proc", "s3", "sbin"}
_TAKEN |= {"sys", "tmp", "usr", "var", ".cache", ".config", ".local", "home", "root", "run", "oci", "mnt"}
_NEVER_BELOW = ("/proc/", "/sys/", "/dev/", "/tmp/", "/opt/storm/", "/kfp-launcher/", "/minio/", "/s3/", "/gcs/")  # noqa: S108

PROCESSORS = number_or_text("a number of processors, such as 2, 0.5 or 500m", is_processors)
BYTES = text("a whole number with a unit of Ki, Mi, Gi, Ti, M, G or T, such as 512Mi", is_bytes)
NAME = text(NAME_RULE, is_name)
# KFP names the volume after the secret or config map, and a volume's name may hold no dot.
MOUNTED_NAME = matching(
    "the name of a secret or config map that can name a volume too: at most 63 of a-z, 0-9 and '-', a letter or digit "
    "first and last",
    r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?",
)
LABEL_VALUE = matching(
    "a string of at most 63 letters, digits, '-', '_' and '.', a letter or digit first and last (quote true, false and "
    "numbers)",
    _LABEL_VALUE,
)
KEY = matching("a name of letters, digits, '-', '_' and '.'", r"[-A-Za-z0-9_.]{1,253}")
VARIABLE = matching("the name of a variable: letters, digits and '_', no digit first", r"[A-Za-z_][A-Za-z0-9_]{0,252}")
REGISTRY = matching(
    "a registry's host and path, such as ghcr.io/someone",
    r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?(:\d{1,5})?(/[a-z0-9]([-a-z0-9._]*[a-z0-9])?)*/?",
)


def _is_label_key(name: str) -> bool:
    found = _QUALIFIED.fullmatch(name)
    return bool(found) and (found[1] is None or is_name(found[1]))  # type: ignore[index]


def _is_own_key(name: str) -> bool:
    return _is_label_key(name) and not name.startswith(_OWNERS)


LABEL_KEY = text("a label's key, such as nvidia.com/gpu.product", _is_label_key)
OWN_KEY = text(
    f"a key such as team or example.com/team, and none of KFP's and Argo's, which begin with {', '.join(_OWNERS)}",
    _is_own_key,
)
RESOURCE_NAME = text(
    "a resource's name with its domain, such as nvidia.com/gpu or nvidia.com/mig-1g.10gb",
    lambda name: _is_label_key(name) and "/" in name and not name.partition("/")[0].endswith("kubernetes.io"),
)


def _is_free_place(path: str) -> bool:
    plain = path.startswith("/") and posixpath.normpath(path) == path and ":" not in path and path.isprintable()
    below = f"{path}/".startswith(_NEVER_BELOW)
    return plain and len(path) < 1024 and path[1:] not in _TAKEN and not below and path != "/"


MOUNT_PATH = text(
    "an absolute path for a directory that neither the image nor KFP has, such as /etc/company-ca", _is_free_place
)


def _read_plain_text(path: str, given: object) -> str:
    """A string that is no template to Argo and holds no password; where it is refused, it is not shown."""
    if not isinstance(given, str):
        refuse(path, "a string; quote it", given)
    if "{{" in given or "\0" in given:
        refuse(path, "a string without {{, by which Argo would replace it", "one that has it")
    if any(_has_password(word) for word in re.split(r"[\s,;]+", given)):
        refuse(path, "a string without a password; name a secret under environment_from", "an address with one")
    return given


def _has_password(word: str) -> bool:
    try:
        return "://" in word and urlsplit(word).password is not None
    except ValueError:  # An address that is none.
        return False


PLAIN_TEXT = Kind("a string, and no password", _read_plain_text)
