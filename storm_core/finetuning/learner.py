"""One update of the weights, and the loss on examples that are not trained on."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import torch
from torch import Tensor, nn

from storm_core import processes
from storm_core.checkpoints.checkpoint import Checkpoint
from storm_core.devices import resolve_device, resolve_dtype
from storm_core.errors import InputError
from storm_core.finetuning.answer_loss import AnswerLoss, attend_in_packs
from storm_core.finetuning.batches import BatchTensors, join, pad
from storm_core.finetuning.compilation import CompiledLoss
from storm_core.finetuning.config import TrainConfig
from storm_core.finetuning.data_order import Batch
from storm_core.finetuning.exchange import add_up, any_process, gather
from storm_core.finetuning.flat_examples import FlatExamples
from storm_core.finetuning.liger import use_liger
from storm_core.finetuning.optimization import learning_rate, make_optimizer
from storm_core.finetuning.prefetching import made_ahead
from storm_core.finetuning.sharding import adding_up, distribute, in_shares, let_go, whole
from storm_core.finetuning.shares import fill_shares
from storm_core.finetuning.tokenization import IGNORED, TokenizedExample

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Examples of a validation pass after which the processes ask each other whether to go on.
_EXAMPLES_BETWEEN_QUESTIONS = 8
_FEW = 5


@dataclass(frozen=True, kw_only=True)
class Update:
    """What an update was: the mean loss over its answers' tokens, before it, and how it moved.

    Attributes:
        lengths: tokens of each of its examples.
        answers: tokens with a label.
    """

    loss: float
    gradient_norm: float
    learning_rate: float
    lengths: Sequence[int]
    answers: int


class Learner:
    """A model whose weights that require gradients are trained on `examples`, by all processes together."""

    def __init__(
        self,
        model: "PreTrainedModel",
        examples: FlatExamples,
        padding: int,
        config: TrainConfig,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        """`padding` is the token that fills a short row; `checkpoint` has the weights of a model without data."""
        self.model = model
        self._examples = examples
        self._padding = padding
        self._config = config
        self._device = resolve_device()
        compute = resolve_dtype(config.dtype)
        if config.packing:
            attend_in_packs(model)
        if config.kernels == "liger":
            use_liger(model)
        if config.gradient_checkpointing:
            model.activation_checkpointing_enable({"use_reentrant": False})
        autocast = compute if compute is not torch.float32 and not in_shares(config.sharding) else None
        loss = (CompiledLoss if config.compile else AnswerLoss)(model, autocast)
        self.module = distribute(loss, config.sharding, compute)
        if checkpoint is not None:
            fill_shares(self.module, model, checkpoint)
        self.optimizer = make_optimizer(model.parameters(), config)

    def load(self, plan: Sequence[Sequence[Batch]]) -> AbstractContextManager[Iterator[BatchTensors]]:
        """This process's batches of all updates of `plan`, made ahead of `update`, which takes them."""
        own = (batch for batches in plan for batch, _ in self._own(batches))
        return made_ahead(self._tensors, own)

    def update(self, done: int, updates: int, batches: Sequence[Batch], loaded: Iterator[BatchTensors]) -> Update:
        """Move the weights by the mean loss over all answers' tokens of `batches`, which the processes share.

        The mean is over the update as a whole, however unevenly its answers lie in batches and processes.

        Args:
            done: the updates made before.
            updates: of the whole training.
            batches: the same in every process.
            loaded: begins with this process's share of them.

        Raises:
            InputError: loss or gradient is not finite; names the examples. The weights are what they were.
        """
        self.module.train()
        taken = [number for batch in batches for number in batch]
        answers = int(self._examples.answers[taken].sum())
        own = zip(self._own(batches), loaded, strict=False)
        losses = [self._add_gradient(batch, tensors, answers, done, last=last) for (batch, last), tensors in own]
        norm = self._clip()
        (loss,) = add_up([float(sum(losses))])
        if not (math.isfinite(loss) and math.isfinite(norm)):
            self._complain(done + 1, batches, losses, loss)
        rate = learning_rate(done, updates, self._config)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad()
        lengths = self._examples.lengths[taken].tolist()
        return Update(loss=loss, gradient_norm=norm, learning_rate=rate, lengths=lengths, answers=answers)

    def mean_losses(
        self, examples: Sequence[TokenizedExample], told_to_stop: Callable[[], bool], show: Callable[[], None]
    ) -> list[float] | None:
        """The mean loss over each example's answers, in their order; None where a process was told to stop."""
        self.module.eval()
        try:
            return self._mean_losses(examples, told_to_stop, show)
        finally:
            let_go(self.module)

    def _mean_losses(
        self, examples: Sequence[TokenizedExample], told_to_stop: Callable[[], bool], show: Callable[[], None]
    ) -> list[float] | None:
        own: list[Tensor] = []
        rank, world = processes.rank(), processes.world_size()
        # Shares of weights are put together by all processes at once: each computes as often as the others.
        places = [min(start + rank, len(examples) - 1) for start in range(0, len(examples), world)]
        with made_ahead(lambda place: self._collate([examples[place]]), places) as loaded:
            for number, tensors in enumerate(loaded):
                asks = number % _EXAMPLES_BETWEEN_QUESTIONS == 0 or world == 1
                if asks and any_process(told_to_stop()):
                    return None
                own.append(self._mean_loss(tensors.to(self._device)))
                show()
        by_rank = gather([float(loss) for loss in own])
        return [by_rank[at % world][at // world] for at in range(len(examples))]

    def _own(self, batches: Sequence[Batch]) -> Iterator[tuple[Batch, bool]]:
        """This process's share of the batches, and whether it is the last; empty ones where others have more."""
        rank, world = processes.rank(), processes.world_size()
        rounds = math.ceil(len(batches) / world)
        for number in range(rounds):
            at = number * world + rank
            yield batches[at] if at < len(batches) else (), number == rounds - 1

    def _add_gradient(self, batch: Batch, tensors: BatchTensors, answers: int, done: int, *, last: bool) -> Tensor:
        """Add a batch's part to the gradients; returns its part of the mean loss."""
        # Random numbers, of a dropout, go by update and batch: the same in a resumed training, with any processes.
        torch.manual_seed(hash((self._config.seed, done, *batch)))
        with adding_up(self.module, last=last):
            total: Tensor = self.module(tensors.to(self._device))
            loss = total / torch.tensor(answers, device=self._device)
            # The gradients of the processes are averaged, and are to be added up.
            (loss * processes.world_size()).backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def _tensors(self, batch: Batch) -> BatchTensors:
        nothing = TokenizedExample(input_ids=[self._padding], labels=[IGNORED])
        return self._collate([self._examples[number] for number in batch] or [nothing])

    def _collate(self, examples: Sequence[TokenizedExample]) -> BatchTensors:
        tensors = join(examples) if self._config.packing else pad(examples, self._padding)
        return tensors.pinned(self._device)

    def _clip(self) -> float:
        trained = [parameter for parameter in self.model.parameters() if parameter.grad is not None]
        longest = self._config.max_gradient_norm or math.inf
        return float(whole(nn.utils.clip_grad_norm_(trained, longest)))

    @torch.no_grad()
    def _mean_loss(self, tensors: BatchTensors) -> Tensor:
        total: Tensor = self.module(tensors)
        return total / (tensors.labels != IGNORED).sum()

    def _complain(self, number: int, batches: Sequence[Batch], losses: Sequence[Tensor], loss: float) -> NoReturn:
        """Say which examples made the loss of an update no number."""
        own = [batch for (batch, _), part in zip(self._own(batches), losses, strict=True) if not part.isfinite()]
        found = [example for batches_of_one in gather(own) for batch in batches_of_one for example in batch]
        what = "the loss" if found else "the gradient"
        examples = found or [example for batch in batches for example in batch]
        names = ", ".join(self._examples[one].id for one in examples[:_FEW])
        more = f" and {len(examples) - _FEW} more" if len(examples) > _FEW else ""
        raise InputError(
            f"{what} of update {number} is not finite ({loss}), in the batch of examples {names}{more}; "
            "leave them out, or lower learning_rate"
        )


def trained_parameters(model: "PreTrainedModel") -> Mapping[str, nn.Parameter]:
    """The parameters that gradients reach, by name."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
