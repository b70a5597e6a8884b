"""Which modules to train, and the files that say so: the ratios as JSON, the choice as YAML."""

import json
from collections.abc import Mapping

from storm_core.spectrum.modules import natural_order

# Type to module to signal-to-noise ratio.
Ratios = Mapping[str, Mapping[str, float]]
# Trained whatever their ratio, as in every YAML that the authors publish.
ALWAYS_UNFROZEN = ("lm_head", "model.embed_tokens")


def choose(ratios: Ratios, percent: float) -> dict[str, list[str]]:
    """The modules to train, by type in alphabetical order: of n the first int(n * percent / 100) in rank order."""
    return {kind: ranked(ratios[kind])[: int(len(ratios[kind]) * percent / 100)] for kind in sorted(ratios)}


def ranked(snr: Mapping[str, float]) -> list[str]:
    """Module names of one type, highest ratio first, ties in layer order."""
    return sorted(snr, key=lambda name: (-snr[name], natural_order(name)))


def format_ratios(ratios: Ratios) -> str:
    """The nested form, `{type: {module: snr}}`, as the authors publish it: types by name, modules in rank order.

    What has no finite ratio is written as `Infinity`, which Python's JSON and the published files use.
    """
    ordered = {kind: {name: ratios[kind][name] for name in ranked(ratios[kind])} for kind in sorted(ratios)}
    return json.dumps(ordered, indent=4)


def format_yaml(chosen: Mapping[str, list[str]]) -> str:
    """The choice as Spectrum and axolotl write and read it, byte for byte."""
    lines = ["unfrozen_parameters:"]
    lines += [f"- ^{name}.weight$" for name in ALWAYS_UNFROZEN]
    for kind, names in chosen.items():
        lines.append(f"# {kind} layers")
        lines += [f"- {name}" for name in names]
    return "\n".join(lines) + "\n"
