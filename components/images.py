"""The image of each component: one for each dependency set, and the one place that names them."""

from storm_core import __version__

CORE = f"storm-core:{__version__}"
TRAINING = f"storm-training:{__version__}"
EVALUATION = f"storm-evaluation:{__version__}"
