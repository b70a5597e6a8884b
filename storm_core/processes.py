"""Which of several processes this one is, as `torchrun` says in the environment; alone where it says nothing."""

import os
from collections.abc import Mapping

from storm_core.errors import InputError

# A launcher that reads torchrun's own options, as Kubeflow Trainer's, finds them under these names.
_ASKED = ("PET_NNODES", "PET_NPROC_PER_NODE")


def rank() -> int:
    """The number of this process among all, from 0."""
    return int(os.environ.get("RANK", "0"))


def local_rank() -> int:
    """The number of this process among those of its machine, from 0."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def world_size() -> int:
    """How many processes there are."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main() -> bool:
    """Whether this process writes what all of them did."""
    return rank() == 0


def spans_machines() -> bool:
    """Whether some of the processes run on another machine."""
    return world_size() > int(os.environ.get("LOCAL_WORLD_SIZE", str(world_size())))


def check_started(environment: Mapping[str, str] | None = None) -> None:
    """Make sure that whoever asked for several processes by `PET_*` variables has them.

    Raises:
        InputError: nothing started the other processes: the command was not run by `torchrun`.
    """
    found = os.environ if environment is None else environment
    asked = {name: found[name] for name in _ASKED if found.get(name, "1").isdigit() and int(found.get(name, "1")) > 1}
    if asked and "WORLD_SIZE" not in found:
        said = ", ".join(f"{name}={value}" for name, value in asked.items())
        raise InputError(f"{said} asks for several processes, and this is one; run `torchrun -m storm_core.cli train`")
