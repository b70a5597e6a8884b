"""The learner: its loss, in padded batches and in packs, its order of the examples and its validation passes."""

from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import cross_entropy

from storm_core.checkpoints.loading import load_model
from storm_core.errors import InputError
from storm_core.finetuning import attention
from storm_core.finetuning.answer_loss import AnswerLoss, attend_in_packs
from storm_core.finetuning.batches import BatchTensors, join, pad
from storm_core.finetuning.config import TrainConfig
from storm_core.finetuning.course import Course
from storm_core.finetuning.data_order import Batch, plan_updates
from storm_core.finetuning.flat_examples import FlatExamples
from storm_core.finetuning.history import evaluation_steps, validation_is_due
from storm_core.finetuning.learner import Learner, Update
from storm_core.finetuning.optimization import learning_rate
from storm_core.finetuning.packing import pack
from storm_core.finetuning.tokenization import IGNORED, TokenizedExample

EXAMPLES = [
    TokenizedExample(input_ids=[5, 6, 7, 8, 9], labels=[IGNORED, IGNORED, 7, 8, 9], id="a"),
    TokenizedExample(input_ids=[11, 12, 13], labels=[11, 12, IGNORED], id="b"),
    TokenizedExample(input_ids=[20, *range(40, 70)], labels=[IGNORED, *range(40, 70)], id="c"),
]


@pytest.fixture
def model(tiny_llama: Path) -> Any:
    return load_model(tiny_llama, torch.float32)


def loss_and_gradients(loss: AnswerLoss, batches: list[BatchTensors]) -> tuple[Tensor, list[Tensor]]:
    loss.zero_grad()
    total = torch.stack([loss(batch) for batch in batches]).sum()
    total.backward()
    return total.detach(), [parameter.grad.clone() for parameter in loss.parameters() if parameter.grad is not None]


def update(learner: Learner, done: int, updates: int, batches: list[Batch]) -> Update:
    with learner.load([batches]) as loaded:
        return learner.update(done, updates, batches, loaded)


def test_loss_is_the_sum_over_labelled_tokens(model: Any) -> None:
    expected = torch.tensor(0.0)
    for example in EXAMPLES:
        logits = model(input_ids=torch.tensor([example.input_ids])).logits[0, :-1]
        expected += cross_entropy(
            logits, torch.tensor(example.labels[1:]), ignore_index=IGNORED, reduction="sum"
        ).detach()
    torch.testing.assert_close(AnswerLoss(model, None)(pad(EXAMPLES, padding=0)).detach(), expected)


@pytest.mark.parametrize("positions", [1, 7])
def test_logits_in_chunks_give_the_same_loss_and_gradients(
    positions: int, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = AnswerLoss(model, None)
    at_once = loss_and_gradients(loss, [pad(EXAMPLES, padding=0)])
    monkeypatch.setattr("storm_core.finetuning.answer_loss.MOST_LOGITS", positions * 3 * model.config.vocab_size)
    projected: list[int] = []
    model.lm_head.register_forward_hook(lambda _, __, logits: projected.append(logits.shape[1]))
    torch.testing.assert_close(loss_and_gradients(loss, [pad(EXAMPLES, padding=0)]), at_once, rtol=1e-5, atol=1e-5)
    assert max(projected) == positions


def test_packs_have_the_loss_and_the_gradients_of_examples_alone(model: Any) -> None:
    loss = AnswerLoss(model, None)
    alone = loss_and_gradients(loss, [pad([example], padding=0) for example in EXAMPLES])
    attend_in_packs(model)
    packed = loss_and_gradients(loss, [join(EXAMPLES)])
    torch.testing.assert_close(packed, alone, rtol=1e-5, atol=1e-5)


def test_attention_in_packs_is_computed_in_the_precision_of_autocast(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[torch.dtype] = set()
    attend = attention._one_by_one

    def attend_seen(*arguments: Any) -> Tensor:
        seen.update(part.dtype for part in arguments[:3])
        return attend(*arguments)

    monkeypatch.setattr(attention, "_one_by_one", attend_seen)
    attend_in_packs(model)
    AnswerLoss(model, torch.bfloat16)(join(EXAMPLES))
    # The rotation's sines and cosines are float32, and what they are multiplied with becomes that.
    assert seen == {torch.bfloat16}


def test_positions_in_a_pack_begin_anew_with_each_example() -> None:
    packed = join(EXAMPLES[:2])
    assert packed.position_ids is not None
    assert packed.boundaries is not None
    assert packed.position_ids.tolist() == [[0, 1, 2, 3, 4, 0, 1, 2]]
    assert packed.boundaries.tolist() == [0, 5, 8]


def test_pack_differs_where_tokens_see_other_examples(model: Any) -> None:
    loss = AnswerLoss(model, None)
    attend_in_packs(model)
    one = join(EXAMPLES)
    joined = TokenizedExample(
        input_ids=one.input_ids[0].tolist(),
        labels=list(chain.from_iterable([IGNORED, *example.labels[1:]] for example in EXAMPLES)),
    )
    assert abs(loss(join([joined])) - loss(one)) > 0.01


def test_windows_that_packing_would_leave_out_are_refused(model: Any) -> None:
    attend_in_packs(model)
    model.config.attention_dropout = 0.1
    for layer in model.model.layers:
        layer.self_attn.attention_dropout = 0.1
    with pytest.raises(ValueError, match="no attention with dropout"):
        AnswerLoss(model.train(), None)(join(EXAMPLES))


def test_loss_of_an_update_is_the_mean_over_its_answers_however_it_is_cut(model: Any) -> None:
    whole = AnswerLoss(model, None)(pad(EXAMPLES, padding=0)).item() / 34
    learner = Learner(model, FlatExamples.of(EXAMPLES), 0, TrainConfig(dtype="float32"))
    assert update(learner, 0, 10, [(0, 1), (2,)]).loss == pytest.approx(whole, rel=1e-5)


def test_loss_that_is_no_number_names_its_examples_and_moves_nothing(model: Any) -> None:
    learner = Learner(model, FlatExamples.of(EXAMPLES), 0, TrainConfig(dtype="float32", warmup_ratio=0.0))
    model.get_input_embeddings().register_forward_hook(
        lambda _, inputs, output: output * torch.where(inputs[0] == 12, torch.inf, 1.0)[..., None]
    )
    before = [parameter.clone() for parameter in model.parameters()]
    with pytest.raises(InputError, match=r"the loss of update 3 is not finite .* examples b; leave them out"):
        update(learner, 2, 10, [(0,), (1,)])
    for earlier, parameter in zip(before, model.parameters(), strict=True):
        assert earlier.equal(parameter)


def test_frozen_weights_have_no_gradient_and_no_state(model: Any) -> None:
    model.requires_grad_(False)
    model.model.layers[1].mlp.down_proj.weight.requires_grad_(True)
    learner = Learner(model, FlatExamples.of(EXAMPLES), 0, TrainConfig(dtype="float32"))
    gradients: list[bool] = []
    learner.optimizer.register_step_pre_hook(
        lambda *_: gradients.extend(parameter.grad is not None for parameter in model.parameters())
    )
    update(learner, 0, 2, [(0, 1)])
    assert sum(gradients) == len(learner.optimizer.state) == 1


@given(st.lists(st.integers(1, 50), min_size=1, max_size=60), st.integers(50, 120))
def test_packs_hold_every_example_once_and_no_more_than_their_room(lengths: list[int], capacity: int) -> None:
    packs = pack(range(len(lengths)), lengths, capacity)
    assert sorted(chain.from_iterable(packs)) == list(range(len(lengths)))
    tokens = sorted(sum(lengths[number] for number in one) for one in packs)
    assert tokens[-1] <= capacity
    assert sum(tokens[:2]) > capacity or len(packs) == 1, "two packs could be one"


@given(
    st.lists(st.integers(1, 50), min_size=1, max_size=60),
    st.integers(1, 8),
    st.integers(0, 5),
    st.booleans(),
)
def test_each_pass_takes_every_example_once(lengths: list[int], batch_size: int, seed: int, packing: bool) -> None:
    config = TrainConfig(batch_size=batch_size, seed=seed, packing=packing, max_length=50, epochs=2.0)
    batches = list(chain.from_iterable(plan_updates(lengths, config)))
    taken = list(chain.from_iterable(batches))
    assert sorted(taken[: len(lengths)]) == sorted(taken[len(lengths) :]) == list(range(len(lengths)))


def test_batches_hold_examples_of_like_length_in_no_order_of_length() -> None:
    lengths = [10, 90] * 40
    plan = plan_updates(lengths, TrainConfig(batch_size=4, epochs=1.0))
    batches = torch.tensor([[lengths[index] for index in batch] for (batch,) in plan])
    assert bool((batches == batches[:, :1]).all())
    firsts = batches[:, 0].tolist()
    assert firsts not in (sorted(firsts), sorted(firsts, reverse=True))


def test_order_differs_between_passes_and_is_found_again_in_a_longer_training() -> None:
    short, long = (plan_updates([1] * 20, TrainConfig(batch_size=2, epochs=epochs)) for epochs in (2.0, 3.0))
    assert long[:20] == short
    assert long[:10] != long[10:20] != long[20:]


@given(st.integers(1, 500), st.integers(1, 20))
def test_validation_passes_are_spread_and_end_with_the_last_step(steps: int, evaluations: int) -> None:
    due = sorted(evaluation_steps(steps, evaluations))
    assert due[-1] == steps
    assert due[0] > 0
    assert len(due) == min(steps, evaluations)


def test_validation_is_due_once_where_a_resumed_training_stands() -> None:
    course = Course(done=5)
    assert validation_is_due(course, 10, 2)
    course.note_validation([1.0, 2.0])
    assert not validation_is_due(course, 10, 2)


def test_best_pass_is_the_first_with_the_lowest_loss_after_an_update() -> None:
    course = Course()
    passes = [(0, 1.0, False), (5, 3.0, True), (10, 2.0, True), (15, 2.0, False), (20, 2.5, False)]
    for done, loss, is_best in passes:
        course.done = done
        assert course.note_validation([loss, loss]) == is_best
    assert course.best == 10
    assert course.passes_without_gain() == 2


@pytest.mark.parametrize(
    ("examples", "options", "expected"),
    [
        (10, {"epochs": 1.0, "batch_size": 4}, 3),
        (10, {"epochs": 4.0, "batch_size": 4}, 12),
        (10, {"epochs": 2.0, "batch_size": 2, "gradient_accumulation_steps": 2}, 6),
        (8, {"epochs": 0.25, "batch_size": 2}, 1),
        (10, {"epochs": 1.5, "batch_size": 2}, 8),
    ],
)
def test_updates_are_counted_by_passes(examples: int, options: dict[str, float], expected: int) -> None:
    assert len(plan_updates([1] * examples, TrainConfig(**options))) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        ("cosine", [0.0, 0.5, 1.0, 0.75, 0.25]),
        ("linear", [0.0, 0.5, 1.0, 2 / 3, 1 / 3]),
        ("constant", [0.0, 0.5, 1.0, 1.0, 1.0]),
    ],
)
def test_rate_rises_in_the_warm_up_and_falls_as_the_schedule_says(schedule: str, rates: list[float]) -> None:
    config = TrainConfig(learning_rate=1.0, warmup_ratio=0.4, learning_rate_schedule=schedule)
    assert [learning_rate(done, 5, config) for done in range(5)] == pytest.approx(rates)
