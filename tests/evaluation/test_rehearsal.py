"""What lm-eval would find wrong with a local task while it runs is found before the model is loaded, in one line."""

from typing import Any

import pytest

from storm_core.errors import InputError
from storm_core.evaluation.definition import check_definition
from storm_core.evaluation.lm_eval_run import quiet
from storm_core.evaluation.rehearsal import rehearse
from storm_core.evaluation.suite import Seeds
from tests.evaluation.test_definition import CHOICE, DOCUMENTS, EXACT, REPLY, task

SEEDS = Seeds(sample=0, random=0, numpy=1234, torch=1234, fewshot=1234)
STRICT = {"name": "strict", "filter": [{"function": "take_first"}]}


def check(definition: dict[str, Any], **changes: Any) -> None:
    benchmark = task(definition, **changes)
    with quiet():
        check_definition(benchmark, DOCUMENTS)
        rehearse(benchmark, DOCUMENTS, SEEDS)


def filtered(**settings: Any) -> dict[str, Any]:
    filters = [{"function": "regex", **settings}, {"function": "take_first"}]
    return {**REPLY, "metric_list": [EXACT], "filter_list": [{"name": "strict", "filter": filters}]}


def generating(**settings: Any) -> dict[str, Any]:
    return {**REPLY, "metric_list": [EXACT], "generation_kwargs": {"until": ["\n"], "max_gen_toks": 4, **settings}}


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a pattern that is none": (filtered(regex_pattern="(.*"), "unterminated subpattern"),
    "a filter's setting": (filtered(pattern="(.*)"), "unexpected keyword argument 'pattern'"),
    "no filters": ({**REPLY, "metric_list": [EXACT], "filter_list": []}, "it has none: an empty filter_list"),
    "a description": ({**CHOICE, "description": "{{x"}, "unexpected end of template"),
    "a column in a description": ({**CHOICE, "description": "{{subject}}"}, "'subject' is undefined"),
    "a description that is no text": ({**CHOICE, "description": 5}, "lm-eval fails over storm_quiz"),
    "the beginning of an answer": ({**CHOICE, "gen_prefix": "{{no.such}}"}, "'no' is undefined"),
    "a setting of a metric": ({**REPLY, "metric_list": [{**EXACT, "ignorecase": True}]}, "exact_match_fn"),
    "a metric of another kind": ({**REPLY, "metric_list": [{"metric": "acc"}, EXACT]}, "unsupported operand"),
    "examples of another form": (
        {**CHOICE, "num_fewshot": 1, "fewshot_config": {"samples": [{"q": "What?"}]}}, "'question' is undefined"
    ),
    "a setting of examples": ({**CHOICE, "fewshot_config": {"smplr": "x"}}, "unexpected keyword argument 'smplr'"),
    "text for a function": ({**CHOICE, "process_results": "utils.f"}, "process_results is a function"),
    "another data set": ({**CHOICE, "dataset_path": "cais/mmlu"}, "'dataset_path', which the local questions decide"),
    "choices that are equal": ({**CHOICE, "doc_to_choice": ["a", "a", "b"]}, "the same text comes before it"),
    "only right choices": ({**CHOICE, "doc_to_target": "{{[0, 1, 2]}}"}, "so that each of ['fox', 'dog', "),
    "one choice": ({**CHOICE, "doc_to_choice": ["a"], "doc_to_target": 0}, "fewer than two choices"),
    "an empty prompt": ({**CHOICE, "doc_to_text": "{{ '' }}"}, "the same text for all questions"),
    "two numbers of examples": ({**CHOICE, "num_fewshot": 3}, "num_fewshot is 3 and the benchmark's is 0"),
    "code": ({**CHOICE, "unsafe_code": True}, "marked as unsafe"),
    "repeats": ({**REPLY, "metric_list": [EXACT], "repeats": 0}, "repeats must be from 1 to 1024, got 0"),
    "stops": (generating(until=3), "until must be a text or a list of texts"),
    "a limit": (generating(max_gen_toks=0), "max_gen_toks must be a number of tokens"),
    "a limit in text": (generating(max_gen_toks="4"), "max_gen_toks must be a number of tokens"),
    "a setting of generation": (generating(temprature=0.5), "unknown setting 'temprature'"),
    "a temperature": (generating(do_sample=True, temperature=0.0), "temperature must be above 0"),
    "a negative temperature": (generating(do_sample=True, temperature=-1.0), "temperature must be a number from 0 on"),
    "settings that are a text": ({**REPLY, "generation_kwargs": "until=x"}, "generation_kwargs must be a mapping"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_would_fail_in_a_run_is_refused_before_it(name: str) -> None:
    definition, reason = WRONG[name]
    # A number of examples in a definition counts where the benchmark has none.
    changes = {"num_fewshot": None} if name == "examples of another form" else {}
    with pytest.raises(InputError) as caught:
        check(definition, **changes)
    assert reason in str(caught.value) and str(caught.value).startswith("quiz: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize("metric", ["bleu", "chrf", "ter", "brier_score", "mcc"])
def test_a_metric_without_a_number_for_each_question_is_refused(metric: str) -> None:
    kind = CHOICE if metric in ("brier_score", "mcc") else REPLY
    with pytest.raises(InputError, match=f"the metric '{metric}' of storm_quiz is computed of all questions at once"):
        check({**kind, "metric_list": [{"metric": metric}]}, metric=metric)


@pytest.mark.parametrize(
    ("definition", "metric"),
    [
        (CHOICE, "acc_norm"),
        ({**REPLY, "metric_list": [EXACT], "repeats": 2}, "exact_match"),
        (filtered(regex_pattern="([a-z]+)"), "exact_match,strict"),
        (generating(do_sample=True, temperature=0.7, top_p=0.9), "exact_match"),
        (generating(max_new_tokens=4), "exact_match"),
        ({**CHOICE, "description": "Answer:\n\n", "target_delimiter": "", "gen_prefix": "It is"}, "acc"),
        (
            {"output_type": "loglikelihood", "doc_to_text": "question", "doc_to_target": "{{choices[0]}}",
             "metric_list": [{"metric": "perplexity"}]},
            "perplexity",
        ),
    ],
)  # fmt: skip
def test_what_lm_eval_can_run_passes(definition: dict[str, Any], metric: str) -> None:
    check(definition, metric=metric)


@pytest.mark.parametrize("sampler", ["default", "first_n"])
@pytest.mark.parametrize("shots", [1, 2, 3])
def test_no_question_is_among_its_own_examples(monkeypatch: pytest.MonkeyPatch, sampler: str, shots: int) -> None:
    prompts: list[str] = []

    def keep(_: Any, results: Any) -> None:
        prompts.extend(sample["arguments"][0][0] for sample in results["samples"]["storm_quiz"])

    monkeypatch.setattr("storm_core.evaluation.rehearsal.measurement_of", keep)
    check({**CHOICE, "fewshot_config": {"sampler": sampler}}, num_fewshot=shots)
    assert len(prompts) == len(DOCUMENTS)
    for prompt, document in zip(prompts, DOCUMENTS, strict=True):
        assert prompt.count(document["question"]) == 1 and prompt.endswith(document["question"])
        assert sum(prompt.count(other["question"]) for other in DOCUMENTS) == shots + 1


def test_more_examples_than_other_questions_are_refused() -> None:
    with pytest.raises(InputError, match="num_fewshot is 4, and there are only 3 other questions"):
        check(CHOICE, num_fewshot=4)
    samples = {"samples": [{"question": "Who?", "choices": ["a", "b"], "answer": 1}]}
    check({**CHOICE, "fewshot_config": samples}, num_fewshot=1)
    with pytest.raises(InputError, match="num_fewshot is 2, and there are only 1 samples in fewshot_config"):
        check({**CHOICE, "fewshot_config": samples}, num_fewshot=2)
