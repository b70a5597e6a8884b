"""`scan`: the signal-to-noise ratio of every weight matrix, and which to train."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storm_core.library.display import Displayed, Panel, number_in_words, percent
from storm_core.library.options import Options, with_options
from storm_core.library.running import Reference, Runner, kept_or_temporary
from storm_core.spectrum.config import SCAN, ScanConfig
from storm_core.stores.references import open_reference

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """A weight matrix.

    Attributes:
        module: tensor name without `.weight`.
        type: what stands after the layer number, such as `mlp.up_proj`.
        layer: layer number, None for embeddings and head.
        shape: (out, in).
        snr: signal-to-noise ratio; infinite without noise, and for embeddings and head, which are not scanned.
        unfrozen: whether it is to be trained.
    """

    module: str
    type: str
    layer: int | None
    shape: tuple[int, ...]
    snr: float
    unfrozen: bool


@dataclass(frozen=True, kw_only=True, repr=False)
class Scan(Displayed):
    """A model's weight matrices by type and layer, with their ratios.

    Attributes:
        matrices: all of them.
        unfrozen_percent: share of the modules of each type to train.
        unfrozen_parameters: the choice as YAML text, which axolotl and Spectrum read; norms are part of it.
        metrics: counts of matrices and of weights, by name.
    """

    matrices: tuple[Matrix, ...]
    unfrozen_percent: float
    unfrozen_parameters: str
    metrics: Mapping[str, float]

    @property
    def unfrozen(self) -> list[str]:
        """Names of the matrices to train."""
        return [matrix.module for matrix in self.matrices if matrix.unfrozen]

    @property
    def table(self) -> "pa.Table":
        """One row a matrix, a column for each field of `Matrix`."""
        import pyarrow as pa

        return pa.Table.from_pylist([asdict(matrix) for matrix in self.matrices])

    def _panel(self) -> Panel:
        scanned = [matrix for matrix in self.matrices if matrix.layer is not None]
        types = sorted({matrix.type for matrix in scanned})
        share = percent(self.metrics["unfrozen_parameters_fraction"])
        return Panel(
            summary=f"Scan of {len(scanned)} matrices: {sum(matrix.unfrozen for matrix in scanned)} to train "
            f"(unfrozen_percent {self.unfrozen_percent:g}); with embeddings, head and norms {share} of the weights",
            header=("type", "to train", "lowest ratio", "highest ratio", "layers to train"),
            rows=[_row(type, [matrix for matrix in scanned if matrix.type == type]) for type in types],
        )


class _ScanStage(Runner[Options]):
    def scan(
        self, model: Reference, output: Reference | None = None, *args: Options.args, **options: Options.kwargs
    ) -> Scan:
        """Signal-to-noise ratio of every weight matrix, and which matrices to train (Spectrum).

        Memory holds one matrix at a time.

        Args:
            model: a checkpoint or artifact directory, a manifest file, or a URI such as `hf://org/name@revision`.
            output: a directory to keep the stage's files in, and to use them again; none where left out.

        Raises:
            InputError: the model is quantized, not named as in the Llama family, or a weight is NaN or infinite.
        """
        with kept_or_temporary(output) as directory:
            self._run({"model": model}, directory, *args, **options)
            return _read(directory)


scan = with_options(SCAN)(_ScanStage(SCAN, ScanConfig).scan)


def _read(directory: Path) -> Scan:
    artifact = open_reference(str(directory))
    summary = json.loads(artifact.file("scan.json").read_text(encoding="utf-8"))
    return Scan(
        matrices=tuple(_matrix(fields) for fields in summary["matrices"]),
        unfrozen_percent=summary["unfrozen_percent"],
        unfrozen_parameters=artifact.file("unfrozen_parameters.yaml").read_text(encoding="utf-8"),
        metrics=artifact.manifest.metrics,
    )


def _matrix(fields: Mapping[str, Any]) -> Matrix:
    # An infinite ratio is written as text, which JSON has.
    return Matrix(**{**fields, "shape": tuple(fields["shape"]), "snr": float(fields["snr"])})


def _row(type: str, matrices: Sequence[Matrix]) -> tuple[str, ...]:
    ratios = [number_in_words("snr", snr) for snr in sorted(matrix.snr for matrix in matrices)]
    layers = [matrix.layer for matrix in matrices if matrix.unfrozen and matrix.layer is not None]
    return type, f"{len(layers)} of {len(matrices)}", ratios[0], ratios[-1], _runs(layers)


def _runs(numbers: Sequence[int]) -> str:
    """Numbers as runs: 0-3, 5, 7-9."""
    starts = [number for number in numbers if number - 1 not in numbers]
    ends = [number for number in numbers if number + 1 not in numbers]
    return ", ".join(f"{a}-{b}" if a < b else str(a) for a, b in zip(sorted(starts), sorted(ends), strict=True))
