"""The course of training: training and validation loss by step."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from storm_core.reporting.figures.drawing import ROLE_COLORS, annotate, hide_ticks, new_figure

_HEIGHT_INCHES = 3.1
# More points than the page has pixels in a row would only make it larger.
_DRAWN_POINTS = 600
# Of the running mean: short enough to follow the curve, long enough to calm single batches.
_SMOOTHED_FRACTION = 0.1


def draw_loss(history: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    """Training loss of each logged step, its running mean, and the validation loss."""
    figure = new_figure(_HEIGHT_INCHES)
    axes = figure.subplots()
    steps = [point["step"] for point in history["train"]]
    losses = [point["loss"] for point in history["train"]]
    window = max(1, round(len(losses) * _SMOOTHED_FRACTION))
    axes.plot(*thin(steps, losses), color=ROLE_COLORS["tuned"], alpha=0.35, linewidth=1, label="training, each step")
    axes.plot(
        *thin(steps, running_mean(losses, window)),
        color=ROLE_COLORS["tuned"],
        linewidth=1.8,
        label=f"training, mean of the last {window} logged",
    )
    if history["validation"]:
        points = history["validation"]
        axes.plot(
            [point["step"] for point in points],
            [point["loss"] for point in points],
            color=ROLE_COLORS["quantized"],
            marker="o",
            markersize=4.5,
            linewidth=1.4,
            label="validation",
        )
        last = points[-1]
        annotate(axes, f"{last['loss']:.3f}", (last["step"], last["loss"]), gap_points=6)
    axes.set_xlabel("step")
    axes.set_ylabel("loss (nats a token)")
    axes.set_ylim(bottom=0)
    axes.grid(axis="y")
    axes.legend(loc="upper right")
    hide_ticks(axes)
    return figure


def running_mean(values: Sequence[float], window: int) -> list[float]:
    """Mean of each value and the `window` - 1 before it; of fewer at the start."""
    return [sum(values[max(0, i + 1 - window) : i + 1]) / min(i + 1, window) for i in range(len(values))]


def thin(steps: Sequence[float], losses: Sequence[float]) -> tuple[Sequence[float], Sequence[float]]:
    """As many of the points as can be told apart, evenly spread."""
    stride = max(1, len(steps) // _DRAWN_POINTS)
    return steps[::stride], losses[::stride]
