"""lm-eval's own tasks, looked up once for all that ask for one."""

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lm_eval.tasks import TaskManager


@cache
def own_tasks() -> "TaskManager":
    """lm-eval's index of its 13,000 task files, which takes seconds to make.

    Raises:
        ImportError: lm-eval is not installed.
    """
    from lm_eval.tasks import TaskManager

    return TaskManager()
