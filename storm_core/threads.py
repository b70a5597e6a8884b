"""As many computing threads as the container may use processors.

Libraries count the machine's processors. A container's CPU limit is not a number of processors but a share of time: on
a node of 64, with a limit of 2, they would start 64 threads that wait for each other while the kernel holds them back.
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

# PyTorch, MKL, OpenBLAS and Arrow read the first, the tokenizers the second.
_VARIABLES = ("OMP_NUM_THREADS", "RAYON_NUM_THREADS")
# vLLM's CPU build takes a thread for each processor that it may run on, unless told to leave them unbound.
_VLLM_VARIABLE = "VLLM_CPU_OMP_THREADS_BIND"


def limit_threads() -> None:
    """Set the libraries' numbers of threads to the CPU limit, rounded up; what is set already stays.

    Call it before NumPy or PyTorch is imported: they read it once.
    """
    limit = processor_limit()
    if limit is not None:
        for name in _VARIABLES:
            os.environ.setdefault(name, str(math.ceil(limit)))
        os.environ.setdefault(_VLLM_VARIABLE, "nobind")


def processor_limit(
    memberships: Path = Path("/proc/self/cgroup"), hierarchies: Path = Path("/sys/fs/cgroup")
) -> float | None:
    """How many processors' time the control groups of this process allow it; None where nothing limits it.

    Reads version 2 (`cpu.max`) and version 1 (`cpu.cfs_quota_us`, `cpu.cfs_period_us`); the tightest group counts.

    Args:
        memberships: which groups the process is in, one line a hierarchy: `number:controllers:path`.
        hierarchies: where the groups are mounted.
    """
    try:
        lines = memberships.read_text(encoding="utf-8").splitlines()
    except OSError:  # no Linux
        return None
    limits = [limit for line in lines for group in _groups(line, hierarchies) if (limit := _limit(group))]
    return min(limits, default=None)


def _groups(line: str, hierarchies: Path) -> Iterator[Path]:
    """The directories of the group and of every group around it, where `line` is of the hierarchy that limits CPU."""
    _, controllers, path = line.split(":", 2)
    if controllers and "cpu" not in controllers.split(","):
        return
    # Of version 1 some systems name the mount in another order than the membership; `cpu` leads to it there.
    mounted = hierarchies / (controllers if (hierarchies / controllers).is_dir() else "cpu")
    # In a container the mount may show its own group alone, which then lies at the root.
    for directory in [PurePosixPath(path), *PurePosixPath(path).parents]:
        yield mounted / directory.relative_to("/")


def _limit(group: Path) -> float | None:
    """The processors that one group allows; None where it sets no limit, or none that can be read."""
    try:
        if (group / "cpu.max").is_file():
            quota, period = (group / "cpu.max").read_text(encoding="utf-8").split()
        else:
            quota, period = ((group / f"cpu.cfs_{name}_us").read_text(encoding="utf-8") for name in ("quota", "period"))
        return None if quota == "max" or int(quota) <= 0 else int(quota) / int(period)
    except (OSError, ValueError):  # A sandbox may show files that are empty.
        return None
