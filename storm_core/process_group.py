"""Processes that run one stage together: what the main one decides is told to the others, and one of them complains."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from storm_core import processes
from storm_core.errors import InputError, StoreError
from storm_core.stage import Stage

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

# A process that is alive and silent for so long is taken for lost; one that dies is seen at once.
_SILENCE = timedelta(minutes=30)
# The main process may wait for another run, which does the same work, before it has something to tell.
_PATIENCE = timedelta(days=30)
# Set by torchrun; an attempt after a restart has failures of its own.
_RESTARTS = "TORCHELASTIC_RESTART_COUNT"


@contextlib.contextmanager
def together(stage: Stage) -> Iterator[Callable[[Any], Any]]:
    """The group of all processes that torchrun started for `stage`; nothing where this one is alone.

    Yields a function of something the main process decided, that returns it in every process.

    Raises:
        InputError: the stage runs in one process, or was meant to run in several and nothing started them.
        StoreError: another process has failed or was lost.
    """
    if processes.world_size() == 1:
        if stage.parallel:
            processes.check_started()
        yield lambda decision: decision
        return
    if not stage.parallel:
        raise InputError(f"{stage.verb} runs in one process, and torchrun started {processes.world_size()}")
    import torch
    import torch.distributed as dist

    if torch.cuda.is_available():
        torch.cuda.set_device(processes.local_rank())
    joined = dist.is_initialized()
    if not joined:
        _enter("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=_SILENCE)
    waiting = dist.new_group(backend="gloo", timeout=_PATIENCE)

    def tell(decision: Any) -> Any:
        box = [decision]
        dist.broadcast_object_list(box, src=0, group=waiting)
        return box[0]

    try:
        yield tell
    except RuntimeError as error:
        if isinstance(error, StoreError) or not _lost_peer(error):
            raise
        lost = f"process {processes.rank()} lost another one, which failed, was killed or ran out of memory"
        raise StoreError(f"{lost}; the log above, or that of its machine, says which") from error
    finally:
        if not joined:
            _leave()


@contextlib.contextmanager
def group_of_one() -> Iterator[None]:
    """While the body runs there is a group: that of `together`, or else one of this process alone."""
    import torch.distributed as dist

    if dist.is_initialized():
        yield
        return
    _enter("gloo", store=dist.HashStore(), rank=0, world_size=1)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        dist.destroy_process_group()


def is_first_to_fail() -> bool:
    """Whether this process is to say why all of them end: no other one has failed before."""
    if processes.world_size() == 1:
        return True
    store = _store()
    return store is None or store.add(f"storm/failed/{os.environ.get(_RESTARTS, '0')}", 1) == 1


def _store() -> "Store | None":
    """The store by which torchrun's processes meet; it outlives each of them."""
    import torch.distributed as dist

    try:
        store: Store = dist.TCPStore(  # type: ignore[attr-defined]
            os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False, timeout=timedelta(seconds=5)
        )
        return store
    except (KeyError, RuntimeError):  # nobody is left to meet
        return None


def _lost_peer(error: RuntimeError) -> bool:
    import torch.distributed as dist

    said = str(error).lower()
    return isinstance(error, dist.DistError) or any(word in said for word in ("connection", "gloo", "peer"))


def _enter(backend: str, **options: Any) -> None:
    import torch.distributed as dist

    # Torch puts a rank before each line of a traceback, once more for each group; ours knows the log's format.
    hook = sys.excepthook
    dist.init_process_group(backend, **options)
    sys.excepthook = hook


def _leave() -> None:
    import torch.distributed as dist

    # Others may have died; what is left of the group goes with the process.
    with contextlib.suppress(RuntimeError):
        dist.destroy_process_group()
