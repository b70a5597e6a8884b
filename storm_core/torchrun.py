"""torchrun's own code, run in this process: what starts several processes that train together, and watches them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from storm_core.stopping import EXIT_CODE

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

# For a checkpoint after SIGTERM.
_SHUTDOWN_SECONDS = 270


def torchrun(flags: Sequence[str], arguments: Sequence[str]) -> "ProcessFailure | None":
    """The process that failed first; None where all ended well.

    Raises:
        SystemExit: SIGTERM came; the code is 143.
    """
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    ours = ["--max-restarts=0", f"--shutdown-timeout={_SHUTDOWN_SECONDS}", "-m", "storm_core.cli"]
    try:
        run.main([*flags, *ours, *escaped(arguments)])
    except SignalException:
        raise SystemExit(EXIT_CODE) from None
    except ChildFailedError as error:
        return error.get_first_failure()[1]
    return None


def escaped(arguments: Sequence[str]) -> list[str]:
    """The arguments as torchrun and a container's `args` hand them on unchanged: each `$` twice.

    torchrun fills in `${local_rank}` by `string.Template`, Kubernetes `$(NAME)`; both make one `$` of two.
    """
    return [argument.replace("$", "$$") for argument in arguments]
