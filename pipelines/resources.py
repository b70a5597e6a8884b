"""What a task asks a cluster for, by the verb of its stage.

From the peaks and the processors that `benchmarks/resources.py` measured in the demo, whose model has 135M parameters
(the comment of each line: processors busy, MB), memory with a quarter added and rounded up. A stage takes as many
threads as its CPU limit (`storm_core.threads`). Memory is asked for and not limited: what a larger model takes grows
with it, and a limit that fits the demo would kill it.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Resources:
    """Quantities as Kubernetes writes them: processors, and bytes of memory."""

    cpu_request: str
    cpu_limit: str
    memory_request: str


RESOURCES: Mapping[str, Resources] = {
    "fetch": Resources("1", "1", "1536Mi"),
    "prepare": Resources("1", "1", "512Mi"),
    "score": Resources("1", "2", "2Gi"),
    "select": Resources("500m", "1", "512Mi"),
    "audit": Resources("1", "2", "2Gi"),
    "scan": Resources("1", "2", "768Mi"),
    "train": Resources("1", "2", "7Gi"),
    "merge": Resources("1", "1", "1Gi"),
    "quantize": Resources("1", "1", "1Gi"),
    "evaluate": Resources("1", "2", "3Gi"),
    "gate": Resources("500m", "1", "512Mi"),
    "register": Resources("500m", "1", "512Mi"),
    "report": Resources("500m", "1", "512Mi"),
}
