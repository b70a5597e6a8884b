"""What a task asks a cluster for, by the verb of its stage.

Each line's comment is what `benchmarks/resources.py` measured in the demo, whose model has 135M parameters, on two
processors: how many of them a stage kept busy, and its peak memory, the larger of two runs.

- Memory: a quarter more than the peak, rounded up. It is not limited: what a stage takes grows with the model, and a
  limit that fits the demo would kill it.
- Processors: a stage that computes on several asks for one and may use two, so that two stages fit on two processors;
  one that is over in seconds asks for half of one. A stage takes as many threads as its limit (`storm_core.threads`).
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
    "fetch": Resources("1", "1", "1536Mi"),  # 1.0 processors, 1279 MB
    "prepare": Resources("1", "1", "512Mi"),  # 1.0, 411
    "score": Resources("1", "2", "2Gi"),  # 1.5, 1618
    "select": Resources("500m", "1", "512Mi"),  # 1.0 for 3 seconds, 307
    "audit": Resources("1", "2", "2Gi"),  # 1.6, 1451
    "scan": Resources("1", "2", "768Mi"),  # 1.5, 592
    "train": Resources("1", "2", "7Gi"),  # 1.8, 5977
    "merge": Resources("1", "1", "1Gi"),  # 1.1, 828
    "quantize": Resources("1", "1", "1280Mi"),  # 1.0, 890
    "evaluate": Resources("1", "2", "3Gi"),  # 1.9, 2403
    "gate": Resources("500m", "1", "512Mi"),  # 1.0 for 3 seconds, 283
    "register": Resources("500m", "1", "512Mi"),  # 1.0 for 4 seconds, 288
    "report": Resources("500m", "1", "512Mi"),  # 1.0 for 5 seconds, 331
}
