import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from storm_core.judging.engines.transformers_engine import TransformersEngine, label_probabilities
from storm_core.judging.engines.vllm_engine import _cpu_options


@pytest.fixture(scope="module")
def contexts(tiny_judge, examples):
    return [tiny_judge.builder.context(example.messages, 512) for example in examples]


@pytest.fixture(scope="module")
def questions(tiny_judge):
    return [tiny_judge.educational_value, tiny_judge.difficulty]


def plain(model, context, question):
    """Label probabilities and mass from a whole forward pass over one prompt: no cache, no padding, no batch."""
    with torch.inference_mode():
        logits = model(torch.tensor([[*context.ids, *question.ids]]), use_cache=False).logits[0, -1]
    chosen = torch.softmax(logits.double(), dim=-1)[list(question.label_ids)]
    return (chosen / chosen.sum()).tolist(), chosen.sum().item()


def check_against_plain(model, contexts, answers, question):
    assert len(answers) == len(contexts)
    for context, answer in zip(contexts, answers, strict=True):
        expected, expected_mass = plain(model, context, question)
        assert answer.probabilities == pytest.approx(expected, abs=1e-5)
        assert answer.label_mass == pytest.approx(expected_mass, abs=1e-6)
        assert answer.unseen_mass == 0


def test_answers_from_a_padded_batch_equal_a_plain_forward_pass(tiny_judge, contexts, questions):
    assert max(len(context.ids) for context in contexts) > 2 * min(len(context.ids) for context in contexts)
    reading = tiny_judge.engine.read(contexts)
    # Asked twice in turn: a question must leave no trace in the cache.
    for question in [*questions, *questions]:
        check_against_plain(tiny_judge.engine.model, contexts, reading.ask(question), question)


def test_answers_after_keeping_some_rows_equal_a_plain_forward_pass(tiny_judge, contexts, questions):
    reading = tiny_judge.engine.read(contexts)
    reading.ask(questions[0])
    kept = [7, 0, 4]
    answers = reading.keep(kept).ask(questions[1])
    check_against_plain(tiny_judge.engine.model, [contexts[row] for row in kept], answers, questions[1])


@given(data=st.data())
@settings(max_examples=25)
def test_answers_equal_a_plain_forward_pass_whatever_the_batch_and_the_order_of_questions(
    tiny_judge, contexts, questions, data
):
    rows = data.draw(st.lists(st.integers(0, len(contexts) - 1), min_size=1, max_size=6))
    asked = data.draw(st.lists(st.sampled_from(questions), min_size=1, max_size=3))
    kept = data.draw(st.lists(st.sampled_from(range(len(rows))), min_size=1, max_size=4))
    reading = tiny_judge.engine.read([contexts[row] for row in rows])
    for question in asked:
        answers = reading.ask(question)
        check_against_plain(tiny_judge.engine.model, [contexts[row] for row in rows], answers, question)
    answers = reading.keep(kept).ask(asked[0])
    check_against_plain(tiny_judge.engine.model, [contexts[rows[place]] for place in kept], answers, asked[0])


def test_answers_of_a_judge_with_sliding_windows_equal_a_plain_forward_pass(tiny_judge, contexts, questions):
    from transformers import MistralConfig, MistralForCausalLM

    torch.manual_seed(0)
    # The answer sees some of the context, but not all: the window counts places, so padding in it would show.
    window = tiny_judge.question_tokens + 8
    lengths = {len(context.ids) for context in contexts}
    assert max(lengths) > window and len(lengths) > 1
    config = MistralConfig(
        vocab_size=tiny_judge.engine.model.config.vocab_size,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        sliding_window=window,
        # Large enough for what is attended to to show in the answer.
        initializer_range=0.5,
    )
    model = MistralForCausalLM(config).eval()
    reading = TransformersEngine(model).read(contexts)
    for question in questions:
        check_against_plain(model, contexts, reading.ask(question), question)


def test_vllm_on_a_cpu_reserves_room_for_a_whole_batch_and_no_more_than_twice_that():
    config = {"num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3, "hidden_size": 576}
    bytes_per_token = 2 * 30 * 3 * 64 * 2
    reserved = _cpu_options(config, torch.bfloat16, tokens=20_000)["kv_cache_memory_bytes"]
    assert reserved == 2 * 20_000 * bytes_per_token
    assert (
        _cpu_options({**config, "head_dim": 128}, torch.float32, tokens=20_000)["kv_cache_memory_bytes"] == 4 * reserved
    )
    assert "kv_cache_memory_bytes" not in _cpu_options({}, torch.float32, tokens=20_000)


@given(
    logits=st.lists(st.floats(-200, 200, width=32), min_size=5, max_size=9),
    label_ids=st.permutations(range(5)).map(lambda ids: ids[:3]),
)
def test_label_probabilities_sum_to_one_whatever_their_mass(logits, label_ids):
    probabilities, mass = label_probabilities(torch.tensor([logits]), label_ids)
    assert probabilities.sum().item() == pytest.approx(1, abs=1e-12)
    assert 0 <= mass.item() <= 1 + 1e-5
    weights = [math.exp(logits[token] - max(logits[other] for other in label_ids)) for token in label_ids]
    assert probabilities[0].tolist() == pytest.approx([weight / sum(weights) for weight in weights], abs=1e-4)


def test_all_labels_of_the_vocabulary_have_mass_one():
    probabilities, mass = label_probabilities(torch.tensor([[0.0, math.log(3)]]), [1, 0])
    assert probabilities[0].tolist() == pytest.approx([0.75, 0.25])
    assert mass.item() == pytest.approx(1)
