"""lm-eval tasks over local documents, against a plain computation of the same numbers."""

import socket
from pathlib import Path
from typing import Any

import pytest
import torch

from storm_core.checkpoints.loading import load_model, load_tokenizer
from storm_core.errors import InputError
from storm_core.evaluation.evaluation_cache import ReplyCache
from storm_core.evaluation.harness import check_tasks, measure_task
from storm_core.evaluation.suite import LmEval, Questions, Seeds
from storm_core.stores.partial_results import DirectoryPartialResults

SEEDS = Seeds(sample=0, random=0, numpy=1234, torch=1234, fewshot=1234)
DOCUMENTS: list[dict[str, Any]] = [
    {"question": f"What is {place}?", "choices": ["fox", "dog", "Paris city"], "answer": place % 3}
    for place in range(7)
]
DEFINITION = {
    "output_type": "multiple_choice",
    "doc_to_text": "{{question}}",
    "doc_to_choice": "{{choices}}",
    "doc_to_target": "{{answer}}",
    "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
}


def local_task(**changes: Any) -> LmEval:
    settings = {
        "name": "quiz",
        "title": "Quiz",
        "task": "storm_quiz",
        "metric": "acc",
        "apply_chat_template": True,
        "fewshot_as_multiturn": False,
        "batch_size": 4,
        "num_fewshot": 0,
        "questions": Questions(path="-", samples=7, distractors=2, definition=DEFINITION),
    }
    return LmEval(**{**settings, **changes})


@pytest.fixture(scope="module")
def model(tiny_llama: Path) -> Any:
    return load_model(tiny_llama, torch.float32)


@pytest.fixture(scope="module")
def tokenizer(tiny_llama: Path) -> Any:
    return load_tokenizer(tiny_llama)


@pytest.fixture
def kept(tmp_path: Path) -> ReplyCache:
    return ReplyCache(DirectoryPartialResults(tmp_path / "parts"), "quiz")


def log_likelihood(model: Any, tokenizer: Any, question: str, choice: str) -> float:
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": question}], tokenize=False, add_generation_prompt=True
    )
    # lm-eval counts the white space that ends the prompt as part of the choice.
    start = len(tokenizer(prompt.rstrip(), add_special_tokens=False)["input_ids"])
    ids = torch.tensor(tokenizer(prompt + choice, add_special_tokens=False)["input_ids"])
    with torch.inference_mode():
        steps = model(ids[None]).logits[0].log_softmax(-1)
    return float(sum(steps[place - 1, ids[place]] for place in range(start, len(ids))))


def test_a_local_task_scores_what_the_log_likelihoods_say(
    model: Any, tokenizer: Any, kept: ReplyCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(*_: Any) -> None:
        raise AssertionError("a local task must not open a connection")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    measurement = measure_task(local_task(), DOCUMENTS, SEEDS, model, tokenizer, kept)
    for document, sample in zip(DOCUMENTS, measurement.samples, strict=True):
        numbers = [log_likelihood(model, tokenizer, document["question"], choice) for choice in document["choices"]]
        assert sample.score == float(numbers.index(max(numbers)) == document["answer"])
        best = sample.reply.splitlines()[0]
        assert best.endswith(document["choices"][numbers.index(max(numbers))])
        assert float(best.split()[0]) == pytest.approx(max(numbers), abs=2e-3)
        assert document["question"] in sample.prompt
        assert sample.reason == f"the answer is {document['choices'][document['answer']]}"
    right = sum(sample.score for sample in measurement.samples)
    share = right / 7
    assert 0 < right < 7
    assert measurement.score.value == pytest.approx(share)
    assert measurement.score.stderr == pytest.approx((share * (1 - share) / 6) ** 0.5)


def test_an_unknown_metric_is_refused_with_the_known_ones(model: Any, tokenizer: Any, kept: ReplyCache) -> None:
    with pytest.raises(InputError, match="no metric 'f2'; it has acc"):
        measure_task(local_task(metric="f2"), DOCUMENTS, SEEDS, model, tokenizer, kept)


FILTERS = {"strict-match": "#### (.*)", "flexible-extract": "([a-z]+)"}


def generating_task(filters: list[str], metric: str, also: tuple[str, ...] = ()) -> LmEval:
    definition = {
        "output_type": "generate_until",
        "doc_to_text": "{{question}}",
        "doc_to_target": "{{choices[answer]}}",
        "generation_kwargs": {"until": ["\n"], "max_gen_toks": 4, "do_sample": False},
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    }
    if filters:
        definition["filter_list"] = [
            {
                "name": name,
                "filter": [{"function": "regex", "regex_pattern": FILTERS[name]}, {"function": "take_first"}],
            }
            for name in filters
        ]
    questions = Questions(path="-", samples=7, distractors=2, definition=definition)
    return local_task(metric=metric, also=also, questions=questions)


BOTH = ["strict-match", "flexible-extract"]


@pytest.mark.parametrize(
    ("filters", "metric"),
    [
        ([], "exact_match"),
        ([], "exact_match,none"),
        (["strict-match"], "exact_match"),
        (["strict-match"], "exact_match,strict-match"),
        (BOTH, "exact_match,strict-match"),
        (BOTH, "exact_match,flexible-extract"),
    ],
)
def test_metric_is_that_of_the_filter_it_names(
    filters: list[str], metric: str, model: Any, tokenizer: Any, kept: ReplyCache
) -> None:
    also = tuple(f"exact_match,{name}" for name in filters)
    measurement = measure_task(generating_task(filters, metric, also), DOCUMENTS, SEEDS, model, tokenizer, kept)
    assert len(measurement.samples) == 7
    assert measurement.score.value == pytest.approx(sum(sample.score for sample in measurement.samples) / 7)
    assert set(measurement.others) == set(also)
    if metric.endswith("strict-match"):
        assert {sample.reply for sample in measurement.samples} == {"[invalid]"}


@pytest.mark.parametrize(
    ("filters", "metric", "also", "said"),
    [
        (BOTH, "exact_match", (), "one of exact_match,flexible-extract; exact_match,strict-match"),
        (BOTH, "acc", (), "no metric 'acc'; it has exact_match,flexible-extract; exact_match,strict-match"),
        (BOTH, "exact_match,strict-match", ("f1",), "no metric 'f1'"),
        ([], "exact_match,strict-match", (), "no metric 'exact_match,strict-match'; it has exact_match"),
    ],
)
def test_wrong_metric_is_refused_before_the_first_question(
    filters: list[str], metric: str, also: tuple[str, ...], said: str, tokenizer: Any, model: Any, kept: ReplyCache,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def asked(*_: Any, **__: Any) -> None:
        raise AssertionError("a question was asked")

    monkeypatch.setattr("storm_core.evaluation.resumable_model.ResumableLM.generate_until", asked)
    with pytest.raises(InputError, match=said):
        measure_task(generating_task(filters, metric, also), DOCUMENTS, SEEDS, model, tokenizer, kept)


@pytest.mark.slow
def test_an_unknown_task_is_refused(model: Any, tokenizer: Any, kept: ReplyCache) -> None:
    with pytest.raises(InputError, match="has no task 'leaderboard_vibes'"):
        measure_task(local_task(task="leaderboard_vibes", questions=None), [], SEEDS, model, tokenizer, kept)


@pytest.mark.slow
def test_an_unknown_task_is_refused_before_the_model_is_loaded() -> None:
    known, unknown = local_task(task="leaderboard_bbh", questions=None), local_task(task="arc_hard", questions=None)
    with pytest.raises(InputError, match=r"quiz: task: lm-eval .* has no task 'arc_hard'"):
        check_tasks([local_task(), known, unknown])


def test_ifeval_without_its_sentence_splitter_is_refused(
    model: Any, tokenizer: Any, kept: ReplyCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nltk.data.path", [])
    with pytest.raises(InputError, match="leaderboard_ifeval needs NLTK's punkt_tab"):
        measure_task(local_task(task="leaderboard_ifeval", questions=None), [], SEEDS, model, tokenizer, kept)


@pytest.mark.slow
def test_a_data_set_that_is_not_there_is_refused(
    model: Any, tokenizer: Any, kept: ReplyCache, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path)
    with pytest.raises(InputError, match="quiz: the data of arc_challenge cannot be had"):
        measure_task(local_task(task="arc_challenge", questions=None), [], SEEDS, model, tokenizer, kept)
