"""Training in one pod with several devices: `storm train` starts a process for each, and needs no Trainer."""

import os
from collections.abc import Mapping, Sequence

from storm_core.cluster.nodes import NODES_VARIABLE, VERBS
from storm_core.errors import InputError
from storm_core.progress import report
from storm_core.stopping import EXIT_CODES
from storm_core.torchrun import torchrun

# How many processes a stage is to start in its own pod, one a device. Set by the pipeline, from the profile.
PROCESSES_VARIABLE = "STORM_PROCESSES"
# What torchrun sets for each process that it started.
_STARTED = "RANK"


def processes_to_start(verb: str, environment: Mapping[str, str] | None = None) -> int:
    """How many processes `storm <verb>` has to start here; 0 where this one does the work, or leaves it to nodes.

    Raises:
        InputError: the variable holds no number of processes.
    """
    found = os.environ if environment is None else environment
    text = found.get(PROCESSES_VARIABLE, "1")
    if verb not in VERBS or _STARTED in found or NODES_VARIABLE in found:
        return 0
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise InputError(f"{PROCESSES_VARIABLE} must be a whole number above 0, got {text!r}")
    return int(text) if int(text) > 1 else 0


def run_here(count: int, arguments: Sequence[str]) -> int:
    """Run `storm` with these arguments in so many processes; returns the exit code."""
    failed = torchrun(["--standalone", f"--nproc-per-node={count}"], arguments)
    # What the process itself had to say is a message with parts.
    if failed and failed.exitcode not in EXIT_CODES and isinstance(failed.message, str):
        report(f"process {failed.local_rank} of {count} ended with code {failed.exitcode}", "error")
    return (failed.exitcode if failed.exitcode in EXIT_CODES else 1) if failed else 0
