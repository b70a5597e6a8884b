"""`python -m storm_core.cluster.node train ...`: what each pod of a training runs: torchrun, and what its end means.

torchrun takes nodes, processes, rank and address from the variables `PET_*` that Kubeflow Trainer sets. Its own exit
code is 1 whatever happened; here the code says whether another attempt makes sense, and the pod's termination message
why.
"""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from storm_core.cluster.exit_codes import FINAL, UNFOLLOWED
from storm_core.cluster.followers import KEY_VARIABLE, UNFOLLOWED_VARIABLE, is_unfollowed
from storm_core.cluster.worker_errors import bad_input
from storm_core.errors import InputError, StoreError
from storm_core.heartbeat import in_words
from storm_core.progress import report
from storm_core.stopping import EXIT_CODES, Stopped
from storm_core.stores.ledger import Ledger
from storm_core.stores.references import required_store
from storm_core.torchrun import torchrun

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

# Where the kubelet looks for a container's last words.
_LAST_WORDS = Path("/dev/termination-log")
_STOPPED = "stopped in order: this node or another one was told to"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `storm` with these arguments under torchrun; returns the exit code of the pod."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _run(given, required_store(None).ledger)
    except (InputError, StoreError) as error:
        return _end(f"train: error: {error}", FINAL if isinstance(error, InputError) else 1)
    except Stopped as stop:  # The log has it already: the processes have said what is kept.
        _leave_last_words(_STOPPED)
        return stop.exit_code


def _run(arguments: Sequence[str], ledger: Ledger) -> int:
    key, limit = os.environ[KEY_VARIABLE], float(os.environ[UNFOLLOWED_VARIABLE])
    began = time.monotonic()
    farewell = f"nobody has followed the training for {in_words(limit)}; its last checkpoint is in the store"
    if is_unfollowed(ledger, key, limit, began):
        return _end(farewell, UNFOLLOWED)
    failed = torchrun([], arguments)
    if failed and is_unfollowed(ledger, key, limit, began):
        return _end(farewell, UNFOLLOWED)
    return _judge(failed) if failed else 0


def _judge(failed: "ProcessFailure") -> int:
    """The exit code after this process failed, once why is said."""
    if failed.exitcode in EXIT_CODES:
        return _end(_STOPPED, failed.exitcode)
    if wrong := bad_input(failed.message):
        return _end(f"bad input: {wrong}", FINAL)
    report(f"train: process {failed.local_rank} of this node ended with code {failed.exitcode}", "error")
    return 1


def _end(words: str, code: int) -> int:
    """Say it in the log and as the container's last words."""
    report(words, "error")
    _leave_last_words(words)
    return code


def _leave_last_words(words: str) -> None:
    """Without them the kubelet would take the end of the log for them."""
    if _LAST_WORDS.exists():
        _LAST_WORDS.write_text(words, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
