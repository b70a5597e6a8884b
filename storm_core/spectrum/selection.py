"""Which modules to train, and the YAML that says so."""

from collections.abc import Mapping

from storm_core.spectrum.ratios import Ratios, ranked

# Trained whatever their ratio, as in every YAML that the authors publish.
ALWAYS_UNFROZEN = ("lm_head", "model.embed_tokens")


def choose(ratios: Ratios, percent: float) -> dict[str, list[str]]:
    """The modules to train, by type in alphabetical order: of n the first int(n * percent / 100) in rank order."""
    return {kind: ranked(ratios[kind])[: int(len(ratios[kind]) * percent / 100)] for kind in sorted(ratios)}


def format_yaml(chosen: Mapping[str, list[str]]) -> str:
    """The choice as Spectrum and axolotl write and read it, byte for byte."""
    lines = ["unfrozen_parameters:"]
    lines += [f"- ^{name}.weight$" for name in ALWAYS_UNFROZEN]
    for kind, names in chosen.items():
        lines.append(f"# {kind} layers")
        lines += [f"- {name}" for name in names]
    return "\n".join(lines) + "\n"
