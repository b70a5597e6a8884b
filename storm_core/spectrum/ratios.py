"""Ratios of all modules as JSON, in the form that published scans have."""

import json
from collections.abc import Mapping

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
