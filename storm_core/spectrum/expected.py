"""What a scan will choose as far as shapes decide it: how many modules of each type, though not which."""

import math

from storm_core.checkpoints.shapes import ModelShapes
from storm_core.spectrum.modules import describe
from storm_core.spectrum.selection import ALWAYS_UNFROZEN, choose

_WEIGHT = ".weight"


def expected_trained(shapes: ModelShapes, percent: float) -> set[str]:
    """Names of as many parameters as a scan at `percent` trains: of each type the first ones in place of the best.

    At 100 percent all parameters are trained, the final norm too.
    """
    parameters = shapes.parameters()
    ratios: dict[str, dict[str, float]] = {}
    for name, shape in parameters.items():
        if name.endswith(_WEIGHT):
            module = describe(name, shape)
            ratios.setdefault(module.type, {})[module.name] = math.inf
    chosen = {module for modules in choose(ratios, percent).values() for module in modules} | set(ALWAYS_UNFROZEN)
    return {name for name in parameters if name.rpartition(".")[0] in chosen}
