"""A judge: what it is asked, in which tokens, and the engine that answers."""

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from storm_core.artifacts import Artifact
from storm_core.chat_templates.date import DEFAULT_DATE
from storm_core.checkpoints.checkpoint import Checkpoint, open_checkpoint
from storm_core.checkpoints.loading import load_tokenizer, load_weights
from storm_core.devices import resolve_dtype
from storm_core.errors import InputError
from storm_core.judging.engines.config import JudgeConfig
from storm_core.judging.engines.endpoint_address import base_url
from storm_core.judging.engines.interface import Engine
from storm_core.judging.wording.prompts import Context, PromptBuilder
from storm_core.judging.wording.rubrics import Rubric, Rubrics

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Judge:
    """Asks about educational value first, then about difficulty.

    Attributes:
        builder: makes the prompts.
        educational_value: the first question.
        difficulty: the second.
        reworded: the same two in other words, which an audit asks too.
        digest: identity of the model that answers; part of every verdict.
    """

    def __init__(
        self,
        *,
        tokenizer: "PreTrainedTokenizerBase",
        rubrics: Rubrics,
        digest: str,
        open_engine: Callable[["Judge"], Engine],
        reworded: Sequence[Rubric] = (),
        date: str = DEFAULT_DATE,
    ) -> None:
        """Loads nothing: `open_engine` is called once, with this judge, when the first answer is wanted."""
        self.builder = PromptBuilder(tokenizer, rubrics.framing, date)
        self.educational_value = self.builder.question(rubrics.educational_value)
        self.difficulty = self.builder.question(rubrics.difficulty)
        self.reworded = tuple(self.builder.question(rubric) for rubric in reworded)
        self.digest = digest
        self._open_engine = open_engine

    @cached_property
    def engine(self) -> Engine:
        """What answers; loading it may take minutes."""
        return self._open_engine(self)

    @property
    def rubric_hashes(self) -> set[str]:
        """Hashes of the rubrics that it is asked by."""
        return {question.rubric.sha256 for question in (self.educational_value, self.difficulty)}

    @property
    def question_tokens(self) -> int:
        """Tokens of the longest question."""
        return max(len(question.ids) for question in (self.educational_value, self.difficulty, *self.reworded))

    def check_window(self, contexts: Sequence[Context]) -> None:
        """Refuse a prompt longer than the judge was made for: its answers would mean nothing.

        Raises:
            InputError: says by how much it is too long.
        """
        longest = max((len(context.ids) for context in contexts), default=0) + self.question_tokens
        window = self.engine.window
        if window is not None and longest > window:
            raise InputError(
                f"a prompt of {longest} tokens does not fit the judge's window of {window}; lower max_length by at "
                f"least {longest - window}"
            )


def open_judge(config: JudgeConfig, model: Artifact, rubrics: Rubrics, reworded: Sequence[Rubric] = ()) -> Judge:
    """The judge in `model`, or behind the endpoint that `config` names; `reworded` as in `Judge`.

    Raises:
        InputError: it cannot be asked; see `PromptBuilder`.
    """
    # Of a judge behind an endpoint the tokenizer alone is here.
    checkpoint = None if config.engine == "openai" else open_checkpoint(model.path)
    return Judge(
        tokenizer=load_tokenizer(model.path),
        rubrics=rubrics,
        digest=_digest(config, model),
        open_engine=partial(_open_engine, config, checkpoint),
        reworded=reworded,
        date=config.template_date,
    )


def numeric_settings(config: JudgeConfig, builder: PromptBuilder) -> dict[str, Any]:
    """The options that change the numbers in a verdict, beside judge and prompts, as JSON values.

    The batch is not among them: it moves a probability by rounding alone, see `scoring`. The date is, where the judge's
    chat template asks for one.
    """
    settings: dict[str, Any] = {"engine": config.engine, "max_length": config.max_length}
    if builder.tells_date:
        settings["template_date"] = config.template_date
    if config.engine == "openai":
        return {**settings, "prompts": config.endpoint_prompts}
    return {**settings, "dtype": str(resolve_dtype(config.dtype))}


def named_settings(config: JudgeConfig, builder: PromptBuilder) -> dict[str, Any]:
    """`numeric_settings`, and of a judge behind an endpoint where it is and its name there, as part of its identity."""
    settings = numeric_settings(config, builder)
    if config.engine == "openai":
        settings |= {"endpoint": base_url(config.endpoint), "endpoint_model": config.endpoint_model}
    return settings


def _digest(config: JudgeConfig, model: Artifact) -> str:
    """Of the artifact; for an endpoint, whose weights nobody sees, also of its address and its name for the model."""
    if config.engine != "openai":
        return model.digest
    named = [model.digest, base_url(config.endpoint), config.endpoint_model]
    return hashlib.sha256(json.dumps(named).encode()).hexdigest()


def _open_engine(config: JudgeConfig, checkpoint: Checkpoint | None, judge: Judge) -> Engine:
    if checkpoint is None:
        from storm_core.judging.engines.openai_engine import open_openai_engine

        return open_openai_engine(config, judge.builder)
    if config.engine == "vllm":
        from storm_core.judging.engines.vllm_engine import open_vllm_engine

        longest = judge.builder.context_length(config.max_length, config.max_length) + judge.question_tokens
        dtype = resolve_dtype(config.dtype)
        return open_vllm_engine(checkpoint, dtype, longest_prompt=longest, batch_size=config.batch_size)
    from storm_core.judging.engines.transformers_engine import TransformersEngine

    return TransformersEngine(load_weights(checkpoint, resolve_dtype(config.dtype)))
