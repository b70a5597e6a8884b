"""A local task from its first prompt to its score, answered by a stand-in for the model.

What lm-eval finds wrong with a description, an example before the question, a filter or a metric it finds out when it
gets there: after the model was loaded, or has answered everything.
"""

from typing import Any

from storm_core.evaluation.definition import local_task
from storm_core.evaluation.lm_eval_run import run_task
from storm_core.evaluation.suite import LmEval, Seeds
from storm_core.evaluation.task_results import measurement_of


def rehearse(benchmark: LmEval, documents: list[dict[str, Any]], seeds: Seeds) -> None:
    """Refuse a local task that lm-eval cannot bring to a score of each question.

    Raises:
        InputError: names the benchmark, and what lm-eval or the metric lacks.
    """
    from lm_eval.tasks import TaskManager

    tasks = TaskManager(include_defaults=False)
    results = run_task(benchmark, local_task(benchmark, documents), seeds, _stand_in(), tasks, bootstrap=False)
    measurement_of(benchmark, results)


def _stand_in() -> Any:
    """A model of lm-eval's that answers everything at once, and always the same."""
    from lm_eval.api.model import LM

    class StandIn(LM):  # type: ignore[misc]  # lm-eval has no types
        tokenizer_name = "none"

        def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
            return [(-1.0 - number % 3, False) for number, _ in enumerate(requests)]

        def loglikelihood_rolling(self, requests: list[Any]) -> list[float]:
            return [-1.0] * len(requests)

        def generate_until(self, requests: list[Any]) -> list[str]:
            return ["The answer is (A) 4."] * len(requests)

        def chat_template(self, chat_template: bool | str = False) -> str:
            return ""

        def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
            return "\n".join(turn["content"] for turn in chat_history)

    return StandIn()
