"""A profile by the name of a shipped one, or by the path of a file."""

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from pipelines.profiles.fields import Profile
from pipelines.profiles.kinds import read_fields
from storm_core.errors import InputError
from storm_core.yaml_documents import read_yaml

# What the recipe's demo took; where no profile is named.
DEFAULT = "laptop-kind"


def load_profile(name: str) -> Profile:
    """The profile: a shipped one's name, or the path of a YAML file.

    Raises:
        InputError: there is none, or a field of it is unknown, missing or wrong.
    """
    path = _path(name)
    try:
        document = read_yaml(path.read_bytes(), str(path))
    except OSError as error:
        raise InputError(f"cannot read the profile {path}: {error.strerror}") from error
    if not isinstance(document, dict):
        raise InputError(f"{path} must hold the fields of a profile, one `name: value` a line")
    try:
        return Profile(**read_fields(Profile, "", document))
    except InputError as error:
        raise InputError(f"profile {name}: {error}") from error


def shipped() -> list[str]:
    """The names of the profiles that come with the recipe."""
    return sorted(path.stem for path in _shipped_files())


def _path(name: str) -> Path:
    if "/" in name or name.endswith((".yaml", ".yml")):
        return Path(name)
    for path in _shipped_files():
        if path.stem == name:
            return path
    raise InputError(f"no profile {name!r}; there are {', '.join(shipped())}, or give the path of a .yaml file")


def _shipped_files() -> Iterator[Path]:
    yield from Path(str(files(__package__))).glob("*.yaml")
