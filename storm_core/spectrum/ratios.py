"""Ratios of all modules as JSON, in the forms that published scans have."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from storm_core.errors import InputError
from storm_core.spectrum.modules import natural_order

# Type to module to signal-to-noise ratio.
Ratios = Mapping[str, Mapping[str, float]]


def format_ratios(ratios: Ratios) -> str:
    """The nested form, `{type: {module: snr}}`, as the authors publish it: types by name, modules in rank order.

    What has no finite ratio is written as `Infinity`, which Python's JSON and the published files use.
    """
    ordered = {kind: {name: ratios[kind][name] for name in ranked(ratios[kind])} for kind in sorted(ratios)}
    return json.dumps(ordered, indent=4)


def ranked(snr: Mapping[str, float]) -> list[str]:
    """Module names of one type, highest ratio first, ties in layer order."""
    return sorted(snr, key=lambda name: (-snr[name], natural_order(name)))


def read_ratios(path: Path) -> dict[str, dict[str, float]]:
    """Ratios from a JSON file in either form: nested, or flat `{module: {"snr": snr, "type": type}}`.

    Raises:
        InputError: the file is in neither form, or a ratio is NaN or negative.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict) or not all(isinstance(entry, dict) for entry in content.values()) or not content:
        raise InputError(
            f"{path} is not a Spectrum scan: neither {{type: {{module: snr}}}} nor {{module: {{snr, type}}}}"
        )
    ratios: dict[str, dict[str, float]] = {}
    for outer, entry in content.items():
        flat = set(entry) == {"snr", "type"}
        for module, snr in {outer: entry["snr"]}.items() if flat else entry.items():
            ratios.setdefault(str(entry["type"]) if flat else outer, {})[module] = _check_ratio(snr, module, path)
    return ratios


def _check_ratio(snr: Any, module: str, path: Path) -> float:
    if isinstance(snr, bool) or not isinstance(snr, int | float) or math.isnan(snr) or snr < 0:
        raise InputError(
            f"{path} gives {module} the signal-to-noise ratio {snr!r}; it must be a number from 0 to Infinity"
        )
    return float(snr)
