"""The address of a run's MLflow database, whatever the name of the directory that it lies in."""

import re
from pathlib import Path
from urllib.parse import quote

# An escape, and what ends a path. SQLAlchemy reads all else as it is written.
_READ_OTHERWISE = re.compile("[%?#]")


def database_uri(directory: Path) -> str:
    """The SQLAlchemy address of `mlflow.db` in `directory`, an absolute path.

    Where a part of the path needs an escape, the slashes behind it are escaped as well: MLflow makes the directory that
    an address names without resolving escapes, and must find one that is there.
    """
    parts = [*directory.parts[1:], "mlflow.db"]
    plain = next((place for place, part in enumerate(parts) if _READ_OTHERWISE.search(part)), len(parts))
    escaped = "/".join(parts[plain:])
    return f"sqlite:////{'/'.join([*parts[:plain], *filter(None, [_escape(escaped)])])}"


def _escape(path: str) -> str:
    return _READ_OTHERWISE.sub(lambda found: quote(found[0]), path).replace("/", "%2F")
