"""Verdicts of a judge over some examples: educational value for all, difficulty for those that pass.

Examples are read in batches of similar length and given back in their own order.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from storm_core.curation.config import ScoreConfig
from storm_core.curation.judge import ask, read_contexts
from storm_core.curation.kept_batches import KeptBatches
from storm_core.curation.prompts import Context, PromptBuilder, Question
from storm_core.curation.rubrics import DIFFICULTY, EDUCATIONAL_VALUE, load_framing, load_rubric
from storm_core.curation.verdicts import Verdict
from storm_core.errors import InputError
from storm_core.progress import progress
from storm_core.records import Example

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# A batch is closed when one more example would make more than this share of its tokens padding: small enough that a
# long example does not make short ones expensive, large enough that mixed lengths still share a pass.
_MAX_PADDING_SHARE = 0.1


@dataclass(frozen=True, kw_only=True)
class Judge:
    """A model and its tokenizer, with the digest of the artifact they came from."""

    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"
    digest: str


def score_examples(
    judge: Judge, examples: Sequence[Example], config: ScoreConfig, kept: KeptBatches | None = None
) -> list[Verdict]:
    """The educational value verdict of each example, followed by its difficulty verdict if the label is high enough.

    Batches that `kept` holds are not scored again; those that are scored are added to it.

    Raises:
        InputError: the judge cannot be asked in this way, or its window is too short for `max_length`.
    """
    builder = PromptBuilder(judge.tokenizer, load_framing())
    first, second = (builder.question(load_rubric(name)) for name in (EDUCATIONAL_VALUE, DIFFICULTY))
    contexts = [builder.context(example.messages, config.max_length) for example in examples]
    _check_window(judge, contexts, max(len(first.ids), len(second.ids)))
    # Ties are broken by ID, not by place: the same examples in another order make the same batches.
    order = sorted(range(len(examples)), key=lambda row: (-len(contexts[row].ids), examples[row].id))
    batches = group_by_length(order, [len(contexts[row].ids) for row in order], config.batch_size)

    def answered() -> Iterator[tuple[int, list[Verdict]]]:
        for rows in batches:
            batch = [(examples[row], contexts[row]) for row in rows]
            found = [kept.verdicts_by_id.get(examples[row].id) for row in rows] if kept else []
            known = [verdicts for verdicts in found if verdicts]
            if len(known) < len(rows):
                known = _score_batch(judge, batch, first, second, config)
                if kept:
                    kept.add(verdict for verdicts in known for verdict in verdicts)
            yield from zip(rows, known, strict=True)

    ticking = progress(answered(), total=len(examples), description="scoring", unit="examples")
    verdicts_by_row = dict(ticking)
    return [verdict for row in range(len(examples)) for verdict in verdicts_by_row[row]]


def group_by_length(rows: Sequence[int], lengths: Sequence[int], batch_size: int) -> list[list[int]]:
    """Consecutive rows in batches of at most `batch_size`, each with little padding.

    `lengths` (tokens of each row) must not increase, so that the first row of a batch gives its width.
    """
    batches: list[list[int]] = []
    width = tokens = 0
    for row, length in zip(rows, lengths, strict=True):
        room = (1 - _MAX_PADDING_SHARE) * width * (len(batches[-1]) + 1) if batches else 0
        if not batches or len(batches[-1]) == batch_size or tokens + length < room:
            batches.append([])
            width, tokens = length, 0
        batches[-1].append(row)
        tokens += length
    return batches


def _score_batch(
    judge: Judge,
    batch: Sequence[tuple[Example, Context]],
    educational_value: Question,
    difficulty: Question,
    config: ScoreConfig,
) -> list[list[Verdict]]:
    """The verdicts of each example of the batch, from one prefill."""
    reading = read_contexts(judge.model, [context.ids for _, context in batch])
    answers = ask(reading, educational_value)
    verdicts = [
        [_verdict(judge, *pair, educational_value, *answer)] for pair, answer in zip(batch, answers, strict=True)
    ]
    rubric = educational_value.rubric
    passed = [
        row for row, (verdict,) in enumerate(verdicts) if rubric.value_of(verdict.label) >= config.min_educational_value
    ]
    if passed:
        answers = ask(reading.keep(passed), difficulty)
        for row, answer in zip(passed, answers, strict=True):
            verdicts[row].append(_verdict(judge, *batch[row], difficulty, *answer))
    return verdicts


def _verdict(
    judge: Judge,
    example: Example,
    context: Context,
    question: Question,
    probabilities: tuple[float, ...],
    label_mass: float,
) -> Verdict:
    rubric = question.rubric
    weighted = zip(rubric.values, probabilities, strict=True)
    return Verdict(
        id=example.id,
        source=example.source,
        rubric=rubric.name,
        rubric_hash=rubric.sha256,
        judge_digest=judge.digest,
        labels=rubric.labels,
        probabilities=probabilities,
        label=rubric.labels[probabilities.index(max(probabilities))],
        expected_value=sum(value * probability for value, probability in weighted),
        label_mass=label_mass,
        tokens=context.tokens,
        truncated=context.truncated,
    )


def _check_window(judge: Judge, contexts: Sequence[Context], question_tokens: int) -> None:
    """Refuse a prompt longer than the positions the judge was made for: its answers would mean nothing."""
    longest = max((len(context.ids) for context in contexts), default=0) + question_tokens
    window = getattr(judge.model.config, "max_position_embeddings", None)
    if window is not None and longest > window:
        raise InputError(
            f"a prompt of {longest} tokens does not fit the judge's window of {window}; lower max_length by at least "
            f"{longest - window}"
        )
