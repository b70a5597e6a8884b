"""The `scan` stage: a model in, the ratio of every matrix and the list of parameters to train out."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from storm_core.checkpoints.checkpoint import Checkpoint, open_checkpoint
from storm_core.checkpoints.finite import finite
from storm_core.devices import resolve_device
from storm_core.progress import progress
from storm_core.spectrum.config import ScanConfig
from storm_core.spectrum.modules import Module, list_modules
from storm_core.spectrum.selection import ALWAYS_UNFROZEN, Ratios, choose, format_ratios, format_yaml
from storm_core.spectrum.snr import signal_to_noise_ratio
from storm_core.stage import Inputs, Results


def run(config: ScanConfig, inputs: Inputs, outputs: Mapping[str, Path]) -> Results:
    """Scan the model and write `snr.json`, `unfrozen_parameters.yaml` and `scan.json`."""
    checkpoint = open_checkpoint(inputs["model"].path)
    modules = list_modules(checkpoint)
    ratios = scan(checkpoint, modules)
    chosen = choose(ratios, config.unfrozen_percent)
    unfrozen = {name for names in chosen.values() for name in names} | set(ALWAYS_UNFROZEN)
    directory = outputs["scan"]
    (directory / "snr.json").write_text(format_ratios(ratios), encoding="utf-8")
    (directory / "unfrozen_parameters.yaml").write_text(format_yaml(chosen), encoding="utf-8")
    summary = {
        "unfrozen_percent": config.unfrozen_percent,
        "matrices": [_describe(module, ratios, unfrozen) for module in modules if len(module.shape) == 2],
    }
    (directory / "scan.json").write_text(json.dumps(summary, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return Results(metrics=_metrics(modules, unfrozen))


def scan(checkpoint: Checkpoint, modules: list[Module]) -> dict[str, dict[str, float]]:
    """The ratio of every module, by type; infinite for those that are not scanned, as in the published scans.

    Holds one weight at a time.

    Raises:
        InputError: names the tensor that holds NaN or infinity.
    """
    scanned = [module for module in modules if module.is_scanned]
    ratios: dict[str, dict[str, float]] = {}
    for module in modules:
        ratios.setdefault(module.type, {})[module.name] = math.inf
    # What is not scanned is read by the stages that follow.
    for name in checkpoint.tensors.keys() - {module.weight for module in scanned}:
        finite(checkpoint.load(name), name, checkpoint.path)
    for module in progress(scanned, total=len(scanned), description="scan", unit="matrices"):
        weight_OI = finite(checkpoint.load(module.weight).to(resolve_device()), module.weight, checkpoint.path)
        ratios[module.type][module.name] = signal_to_noise_ratio(weight_OI)
    return ratios


def _describe(module: Module, ratios: Ratios, unfrozen: set[str]) -> dict[str, Any]:
    snr = ratios[module.type][module.name]
    return {
        "module": module.name,
        "type": module.type,
        "layer": module.layer,
        "shape": list(module.shape),
        "snr": snr if math.isfinite(snr) else "Infinity",
        "unfrozen": module.name in unfrozen,
    }


def _metrics(modules: list[Module], unfrozen: set[str]) -> dict[str, float]:
    """Counts of matrices, and the share of all weights (not of modules) that will be trained; biases left out."""
    trained = [module for module in modules if module.name in unfrozen]
    weights = sum(math.prod(module.shape) for module in modules)
    unfrozen_weights = sum(math.prod(module.shape) for module in trained)
    return {
        "matrices": sum(module.is_scanned for module in modules),
        "unfrozen_matrices": sum(module.is_scanned for module in trained),
        "unfrozen_parameters": unfrozen_weights,
        "unfrozen_parameters_fraction": unfrozen_weights / weights,
    }
