"""How `train` went: losses and learning rate by step, and what became of the examples."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from storm_core.pages.output_files import OutputFiles
from storm_core.pages.parts import Part, part_of
from storm_core.reporting.figures.drawing import MUTED, draw_grid, new_figure, to_svg
from storm_core.reporting.figures.loss import draw_loss, thin

_HEIGHT_INCHES = 1.5


def training_part(outputs: OutputFiles) -> Part:
    """The curves, the validation losses, and the counts of `freezing.json` and `examples.json`."""
    history = outputs.json("training", "history.json")
    freezing = outputs.json("training", "freezing.json")
    loss = to_svg(
        lambda: draw_loss(history),
        name="loss",
        title="Training and validation loss by step",
        description="The table below has the validation losses.",
    )
    rate = to_svg(
        lambda: draw_by_step(history["train"], "learning_rate"),
        name="rate",
        title="Learning rate by step",
        description="It rises in the warm-up and falls afterwards.",
    )
    norm = to_svg(
        lambda: draw_by_step(history["train"], "gradient_norm"),
        name="norm",
        title="Norm of the gradient by step",
        description="Before it is scaled down to the greatest allowed.",
    )
    values = {
        "loss": loss,
        "rate": rate,
        "norm": norm,
        "validation": history["validation"],
        "held_out": history.get("held_out", []),
        "trained": freezing["trained"],
        "frozen": freezing["frozen"],
        "splits": outputs.json("training", "examples.json"),
    }
    return part_of("training.html.jinja", values)


def draw_by_step(points: Sequence[Mapping[str, Any]], quantity: str) -> Figure:
    """What each logged step has under the name `quantity`."""
    figure = new_figure(_HEIGHT_INCHES)
    axes = figure.subplots()
    steps, values = [point["step"] for point in points], [point[quantity] for point in points]
    axes.plot(*thin(steps, values), color=MUTED, linewidth=1.4)
    axes.set_xlabel("step")
    axes.set_ylabel(quantity.replace("_", " "))
    axes.set_ylim(bottom=0)
    draw_grid(axes, "y")
    return figure
