"""What a pod is asked to have, a task's or a training node's, and which of it contradicts the rest."""

from collections.abc import Iterator, Sequence
from typing import Any

from pipelines.profiles.quantities import bytes_of, processors

# Where scratch is mounted. The images keep all that is written there, so that one volume serves all of it.
SCRATCH_PATH = "/tmp"  # noqa: S108
SCRATCH_ENVIRONMENT = {"TMPDIR": SCRATCH_PATH, "STORM_CACHE": f"{SCRATCH_PATH}/storm"}


def contradictions(asked: Any) -> Iterator[tuple[str, str]]:
    """What is wrong with requests, limits and devices of a `TaskProfile` or `TrainingNodes`: the field, and what."""
    if asked.cpu_request and asked.cpu_limit and processors(asked.cpu_request) > processors(asked.cpu_limit):
        yield "cpu_request", f"must be at most cpu_limit, which is {asked.cpu_limit}; got {asked.cpu_request}"
    if asked.memory_limit:
        for field in ("memory_request", "shared_memory"):
            size = getattr(asked, field)
            if size and bytes_of(size) > bytes_of(asked.memory_limit):
                yield field, f"must be at most memory_limit, which is {asked.memory_limit}; got {size}"
    if asked.scratch_class and not asked.scratch:
        yield "scratch_class", "is the class of a volume whose size scratch must give"
    if asked.gpu_products and not asked.accelerator:
        yield "gpu_products", "must come with accelerator, which asks for such a GPU"


def of_gpu_products(products: Sequence[str]) -> dict[str, Any]:
    """What a node's labels must match, as Kubernetes has it, for its GPUs to be one of these products."""
    return {"key": "nvidia.com/gpu.product", "operator": "In", "values": list(products)}
