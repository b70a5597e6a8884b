"""Function calling by BFCL's AST rules, with the recipe's prompt and reply format."""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from storm_core.chat_templates.chat_template import ChatTemplate
from storm_core.chat_templates.rendering import MisfitError
from storm_core.errors import InputError
from storm_core.evaluation.evaluation_cache import ReplyCache
from storm_core.evaluation.generation import greedy_replies
from storm_core.evaluation.scores import Measurement, Sample, Score, mean_score, plain_mean
from storm_core.evaluation.suite import FunctionCalling
from storm_core.toolcalls.ast_check import check_calls
from storm_core.toolcalls.bfcl import BfclEntry, prompt_messages, read_bfcl
from storm_core.toolcalls.calls import ToolCallError, parse_tool_calls

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def draw_entries(benchmark: FunctionCalling, data: Path, seed: int) -> list[BfclEntry]:
    """The benchmark's questions: a seeded draw from each category, in the order of its file.

    Raises:
        InputError: a category cannot be read or has fewer questions than asked for.
    """
    drawn: list[BfclEntry] = []
    for category in benchmark.categories:
        entries = read_bfcl(data / benchmark.path, category)
        count = len(entries) if benchmark.samples is None else benchmark.samples
        if not 2 <= count <= len(entries):
            wanted = "and a score needs 2" if benchmark.samples is None else f"not {count}"
            raise InputError(f"{benchmark.name}: {category} has {len(entries)} questions, {wanted}")
        places = random.Random(seed).sample(range(len(entries)), count)  # noqa: S311 (not a secret)
        drawn.extend(entries[place] for place in sorted(places))
    return drawn


def chat_prompts(benchmark: FunctionCalling, entries: Sequence[BfclEntry], template: ChatTemplate) -> list[str]:
    """What the model reads of each question: the recipe's system prompt with its tools, and the conversation.

    Raises:
        InputError: the chat template refuses one, or leaves out the text of a turn.
    """
    prompts = []
    for entry in entries:
        try:
            prompts.append(template.prompt(prompt_messages(entry, guidelines=benchmark.guidelines)))
        except MisfitError as error:
            raise InputError(
                f"{benchmark.name}: {entry.id} cannot be asked by the model's chat template: {error}; mend the "
                "template or evaluate another model"
            ) from error
    return prompts


def measure_function_calling(
    benchmark: FunctionCalling,
    entries: Sequence[BfclEntry],
    prompts: Sequence[str],
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    kept: ReplyCache,
) -> Measurement:
    """Ask the model every question that `kept` has no reply to, and check its calls."""
    replies = greedy_replies(
        model,
        tokenizer,
        prompts,
        batch_size=benchmark.batch_size,
        max_new_tokens=benchmark.max_new_tokens,
        description="replies",
        kept=kept,
    )
    return score_replies(entries, prompts, replies)


def score_replies(entries: Sequence[BfclEntry], prompts: Sequence[str], replies: Sequence[str | None]) -> Measurement:
    """The measurement that the replies to `entries` amount to; a reply is None where there was no room for one.

    The score is the mean of the categories' accuracies. `well_formed` is the mean share of replies that parse, right or
    wrong; where there are several categories, each one's accuracy is listed too.
    """
    verdicts = [judge(entry, reply) for entry, reply in zip(entries, replies, strict=True)]
    samples = [
        Sample(id=entry.id, prompt=prompt, reply=reply or "", score=float(correct), reason=reason)
        for entry, prompt, reply, (correct, _, reason) in zip(entries, prompts, replies, verdicts, strict=True)
    ]
    right = _by_category(entries, [correct for correct, _, _ in verdicts])
    well_formed = _by_category(entries, [parsed for _, parsed, _ in verdicts])
    others = right if len(right) > 1 else {}
    return Measurement(
        metric="accuracy",
        score=plain_mean(list(right.values())),
        samples=tuple(samples),
        others={**others, "well_formed": plain_mean(list(well_formed.values()))},
    )


def judge(entry: BfclEntry, reply: str | None) -> tuple[bool, bool, str]:
    """Whether the reply is right, whether it parses, and why it is wrong (empty where it is right)."""
    if reply is None:
        return False, False, "the prompt leaves no room for a reply in the model's positions"
    try:
        calls = parse_tool_calls(reply)
    except ToolCallError as error:
        return False, False, str(error)
    verdict = check_calls(entry, calls)
    return verdict.valid, True, verdict.error


def _by_category(entries: Sequence[BfclEntry], outcomes: Sequence[bool]) -> Mapping[str, Score]:
    values: dict[str, list[float]] = {}
    for entry, outcome in zip(entries, outcomes, strict=True):
        values.setdefault(entry.category, []).append(float(outcome))
    return {category: mean_score(scores) for category, scores in values.items()}
