"""The `scan` stage: its options and what it reads and writes."""

from dataclasses import dataclass

from storm_core.config import StageConfig, option
from storm_core.stage import Input, Output, Stage


@dataclass(frozen=True, kw_only=True)
class ScanConfig(StageConfig):
    """Options of `storm scan`."""

    unfrozen_percent: float = option(
        "share of the modules of each type to train, those of the highest signal-to-noise ratio; "
        "embeddings and head are trained besides",
        50.0,
        unit="percent of modules",
        minimum=0.0,
        maximum=100.0,
    )


SCAN = Stage(
    verb="scan",
    summary="Rank a model's weight matrices by signal-to-noise ratio and choose which to train (Spectrum).",
    config=ScanConfig,
    inputs={"model": Input(kind="model", help="the model that will be trained")},
    outputs={"scan": Output(kind="scan", help="ratios and the modules to train")},
    run="storm_core.spectrum.stage:run",
)
