"""Local tasks in lm-eval's terms, changed: brought from prompt to score by a stand-in, or refused in a line."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from storm_core.artifacts import open_directory
from storm_core.evaluation.definition import check_definition
from storm_core.evaluation.lm_eval_run import quiet
from storm_core.evaluation.rehearsal import rehearse
from storm_core.evaluation.suite import LmEval, load_suite
from tests.fuzzing.readers import Reader, fuzz, readers, times
from tests.fuzzing.yaml_mutations import mutate_yaml

DOCUMENTS: list[dict[str, Any]] = [
    {"question": f"What is {place}?", "choices": ["fox", "dog", "Paris city"], "answer": place % 3}
    for place in range(4)
]
EXACT = {"metric": "exact_match", "aggregation": "mean", "higher_is_better": True, "ignore_case": True}
CHOICE = {
    "output_type": "multiple_choice",
    "doc_to_text": "{{question}}",
    "doc_to_choice": "{{choices}}",
    "doc_to_target": "answer",
    "description": "Choose.",
    "target_delimiter": " ",
    "fewshot_config": {"sampler": "first_n"},
    "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
}
REPLY = {
    "output_type": "generate_until",
    "doc_to_text": "{{question}}",
    "doc_to_target": "{{choices[answer]}}",
    "gen_prefix": "It is",
    "generation_kwargs": {"until": ["\n"], "max_gen_toks": 6, "do_sample": True, "temperature": 0.7},
    "filter_list": [
        {
            "name": "strict",
            "filter": [{"function": "regex", "regex_pattern": "([a-z]+)"}, {"function": "take_first"}],
        }
    ],
    "metric_list": [EXACT],
    "repeats": 1,
}
LIKELIHOOD = {
    "output_type": "loglikelihood",
    "doc_to_text": "question",
    "doc_to_target": "{{choices[0]}}",
    "metric_list": [{"metric": "perplexity", "aggregation": "perplexity", "higher_is_better": False}],
}


def suite(definition: dict[str, Any], metric: str, num_fewshot: int) -> bytes:
    benchmark = {
        "name": "quiz",
        "title": "Quiz",
        "kind": "lm_eval",
        "task": "storm_quiz",
        "metric": metric,
        "num_fewshot": num_fewshot,
        "apply_chat_template": True,
        "fewshot_as_multiturn": False,
        "batch_size": 4,
        "questions": {"path": "q.yml", "samples": 4, "distractors": 2, "definition": definition},
    }
    seeds = {"sample": 0, "random": 0, "numpy": 1234, "torch": 1234, "fewshot": 1234}
    whole = {"dtype": "float32", "seeds": seeds, "benchmarks": [benchmark]}
    return yaml.dump(whole, Dumper=yaml.CSafeDumper, sort_keys=False).encode()


def suites(_: Path) -> Sequence[bytes]:
    return [suite(CHOICE, "acc", 2), suite(REPLY, "exact_match", 0), suite(LIKELIHOOD, "perplexity", 1)]


def read_and_rehearse(content: bytes, place: Path) -> None:
    (place / "it.yaml").write_bytes(content)
    given = load_suite("it.yaml", open_directory(place))
    for benchmark in given.benchmarks:
        if isinstance(benchmark, LmEval) and benchmark.questions:
            with quiet():
                check_definition(benchmark, DOCUMENTS)
                rehearse(benchmark, DOCUMENTS, given.seeds)


@times
@readers(
    Reader(name="task definition", valid=suites, mutate=mutate_yaml, read=read_and_rehearse, inputs=100),
)
def test_changed_task_definitions_are_rehearsed_or_refused(reader: Reader[bytes], times: int, tmp_path: Path) -> None:
    fuzz(reader, times, tmp_path)
