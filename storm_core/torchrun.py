"""torchrun's own code, run in this process: what starts several processes that train together, and watches them."""

import logging
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from storm_core.parent import with_this_parent
from storm_core.stopping import Stopped

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

# For a checkpoint after SIGTERM.
_SHUTDOWN_SECONDS = 270


def torchrun(flags: Sequence[str], arguments: Sequence[str]) -> "ProcessFailure | None":
    """The process that failed first; None where all ended well.

    Raises:
        Stopped: a signal came, and the processes have ended.
    """
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    ours = ["--max-restarts=0", f"--shutdown-timeout={_SHUTDOWN_SECONDS}", "-m", "storm_core.cli"]
    os.environ.update(with_this_parent())
    # Which process was sent which signal is no news to a person who stopped them.
    for name in ("agent.server.api", "multiprocessing.api"):
        logging.getLogger(f"torch.distributed.elastic.{name}").setLevel(logging.ERROR)
    try:
        run.main([*flags, *ours, *escaped(arguments)])
    except SignalException as stop:
        raise Stopped(stop.sigval, kept=None) from None  # The processes have said what is.
    except ChildFailedError as error:
        return error.get_first_failure()[1]
    return None


def escaped(arguments: Sequence[str]) -> list[str]:
    """The arguments as torchrun and a container's `args` hand them on unchanged: each `$` twice.

    torchrun fills in `${local_rank}` by `string.Template`, Kubernetes `$(NAME)`; both make one `$` of two.
    """
    return [argument.replace("$", "$$") for argument in arguments]
