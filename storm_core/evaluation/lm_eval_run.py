"""One run of lm-eval over a task, with a suite's settings and without the library's own noise."""

import contextlib
import io
import logging
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from storm_core.errors import InputError, first_line
from storm_core.evaluation.suite import LmEval, Seeds

if TYPE_CHECKING:
    from lm_eval.tasks import TaskManager


def run_task(
    benchmark: LmEval,
    task: "str | dict[str, Any]",
    seeds: Seeds,
    model: Any,
    tasks: "TaskManager",
    *,
    bootstrap: bool = True,
) -> Any:
    """What lm-eval's `simple_evaluate` returns of one task or group.

    Args:
        benchmark: whose settings count.
        task: a name that `tasks` knows, or a definition.
        seeds: lm-eval's.
        model: what answers, as lm-eval's models do.
        tasks: where names are looked up.
        bootstrap: whether standard errors that have no formula are computed.

    Raises:
        InputError: the data cannot be had, or lm-eval fails over the definition or the model's answers.
    """
    import lm_eval

    more = {} if bootstrap else {"bootstrap_iters": 0}
    with _faults_in_words(benchmark):
        return lm_eval.simple_evaluate(
            model=model,
            tasks=[task],
            num_fewshot=benchmark.num_fewshot,
            batch_size=benchmark.batch_size,
            apply_chat_template=benchmark.apply_chat_template,
            fewshot_as_multiturn=benchmark.fewshot_as_multiturn,
            task_manager=tasks,
            random_seed=seeds.random,
            numpy_random_seed=seeds.numpy,
            torch_random_seed=seeds.torch,
            fewshot_random_seed=seeds.fewshot,
            **more,
        )


@contextlib.contextmanager
def _faults_in_words(benchmark: LmEval) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except (ConnectionError, FileNotFoundError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{benchmark.name}: the data of {benchmark.task} cannot be had: {reason}") from error
    except faults() as error:
        raise InputError(
            f"{benchmark.name}: lm-eval fails over {benchmark.task}: {type(error).__name__}: {first_line(error)}; "
            "correct its definition, or choose another"
        ) from error


def faults() -> tuple[type[Exception], ...]:
    """What lm-eval raises over a definition, which it takes on trust, or over a package that a task needs."""
    from jinja2 import TemplateError

    return (
        *(TemplateError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError, AssertionError),
        *(SyntaxError, ImportError, NotImplementedError, RecursionError, re.error),
    )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence what lm-eval prints, its log below errors, and its question which commit of a git repository it runs in.

    It is often in none, which git itself would say on standard error.
    """
    from lm_eval import evaluator

    logger = logging.getLogger("lm_eval")
    level, ask_git = logger.level, evaluator.get_git_commit_hash
    logger.setLevel(logging.ERROR)
    evaluator.get_git_commit_hash = lambda: None
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
        evaluator.get_git_commit_hash = ask_git
