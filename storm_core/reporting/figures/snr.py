"""The scan: signal-to-noise ratio of every matrix, layer by module type, chosen ones marked."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from storm_core.reporting.figures.drawing import MUTED, PAPER, hide_ticks, new_figure

_ROW_INCHES = 0.34
_FRAME_INCHES = 0.7
# So that the colour bar has room for its label.
_LEAST_ROWS = 5
# Above this many layers only some columns are numbered.
_LABELLED_LAYERS = 32
# A single extreme ratio would leave the others with one colour.
_COLOR_PERCENTILES = (2, 98)
# As many as an eye can tell apart; the bar is drawn with one shape for each.
_COLORS = 48


def draw_snr(matrices: Sequence[Mapping[str, Any]]) -> Figure:
    """A heat map with logarithmic colours; a dot marks what is trained, a cross a ratio that is infinite."""
    cells = [matrix for matrix in matrices if matrix["layer"] is not None]
    types = sorted({cell["type"] for cell in cells})
    layers = sorted({cell["layer"] for cell in cells})
    snr_TL = np.full((len(types), len(layers)), np.nan)  # T: module types, L: layers
    for cell in cells:
        snr_TL[types.index(cell["type"]), layers.index(cell["layer"])] = snr_of(cell)
    positive = snr_TL[np.isfinite(snr_TL) & (snr_TL > 0)]
    figure = new_figure(max(len(types), _LEAST_ROWS) * _ROW_INCHES + _FRAME_INCHES)
    axes = figure.subplots()
    image = axes.pcolormesh(
        # A ratio of zero, which a logarithm cannot show, gets the colour of the smallest one above it.
        np.ma.masked_invalid(np.clip(snr_TL, positive.min() if positive.size else 1.0, None)),
        norm=_norm(positive),
        cmap=colormaps["viridis"].resampled(_COLORS),
        edgecolors=PAPER,
        linewidth=0.6,
    )
    for cell in cells:
        place = (layers.index(cell["layer"]) + 0.5, types.index(cell["type"]) + 0.5)
        if cell["unfrozen"]:
            axes.plot(*place, "o", color="white", markeredgecolor="black", markeredgewidth=0.6, markersize=4.2)
        if math.isinf(snr_of(cell)):
            axes.plot(*place, "x", color=MUTED, markersize=6)
    step = max(1, math.ceil(len(layers) / _LABELLED_LAYERS))
    axes.set_xticks([i + 0.5 for i in range(0, len(layers), step)], [str(layer) for layer in layers[::step]])
    axes.set_yticks([i + 0.5 for i in range(len(types))], types)
    axes.set_xlabel("layer")
    axes.invert_yaxis()
    axes.spines[:].set_visible(False)
    hide_ticks(axes)
    bar = figure.colorbar(image, ax=axes, location="right", fraction=0.03, pad=0.01, extend="both", format="%g")
    bar.solids.set(rasterized=False, edgecolor="face")  # type: ignore[union-attr]
    bar.ax.minorticks_off()
    bar.set_label("ratio, log scale")
    bar.outline.set_visible(False)
    return figure


def snr_of(matrix: Mapping[str, Any]) -> float:
    """The ratio as a number; `Infinity` is written as text in `scan.json`."""
    return float(matrix["snr"])


def _norm(positive: np.ndarray) -> LogNorm:
    if not positive.size:
        return LogNorm(vmin=0.1, vmax=10)
    low, high = (float(bound) for bound in np.percentile(positive, _COLOR_PERCENTILES))
    return LogNorm(vmin=low, vmax=high) if low < high else LogNorm(vmin=low / 2, vmax=high * 2)
