"""Component `scan`."""

from kfp import dsl

from components.command import storm
from components.images import CORE
from storm_core.spectrum.config import ScanConfig


@dsl.container_component
def scan(
    model: dsl.Input[dsl.Model],
    scan: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    unfrozen_percent: float = ScanConfig.unfrozen_percent,
) -> dsl.ContainerSpec:
    """Rank a model's weight matrices by signal-to-noise ratio and choose which to train (Spectrum)."""
    return storm(
        "scan",
        CORE,
        model=model.path,
        unfrozen_percent=unfrozen_percent,
        scan=scan.path,
    )
