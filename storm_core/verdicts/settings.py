"""How the judge was asked, beside its verdicts: what is not asked alike cannot be compared."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from storm_core.artifacts import Artifact
from storm_core.errors import InputError
from storm_core.json_objects import read_object

SETTINGS_NAME = "settings.json"
# Where a judge behind a server is, and its name there; who is elsewhere counts as another judge.
_PLACE = ("endpoint", "endpoint_model")
_REPLICAS = "; replicas of one judge need one address in common, such as a load balancer's or a Service's"


def write_settings(directory: Path, settings: Mapping[str, Any]) -> None:
    """Write beside the verdicts how the judge was asked, as JSON values."""
    (directory / SETTINGS_NAME).write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def refuse_mixed(verdicts: Iterable[Artifact], again: Mapping[str, Any] | None = None) -> None:
    """Refuse verdicts that are not comparable, as the judge was asked in different ways.

    Args:
        verdicts: of all shards.
        again: the settings with which the judge is to be asked again, if it is.

    Raises:
        InputError: says which setting differs.
    """
    given = [_settings(artifact) for artifact in verdicts]
    for name in sorted({name for settings in given for name in settings}):
        # Verdicts of earlier versions do not say where the judge was.
        values = sorted({str(settings.get(name)) for settings in given if name in settings or name not in _PLACE})
        if len(values) > 1:
            advice = f"score all shards alike{_REPLICAS if name in _PLACE else ''}"
            raise InputError(f"the verdicts were made with {name} {' and '.join(values)}; {advice}")
        if again is not None and str(again.get(name)) != values[0]:
            raise InputError(
                f"the verdicts were made with {name} {values[0]}, but the judge would be asked again with "
                f"{again.get(name)}; give the {name} that score was given"
            )


def _settings(artifact: Artifact) -> dict[str, Any]:
    try:
        return read_object(artifact.file(SETTINGS_NAME))
    except InputError as error:
        raise InputError(f"{error}; score again") from error
