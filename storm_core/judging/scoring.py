"""Verdicts of a judge over a stream of examples: educational value for all, difficulty for those that pass.

Examples are taken in windows; what is missing of a window is ordered by length, cut into batches from the start, and
kept batch by batch. A run that continues after a kill finds whole batches done, from the start of that order, and cuts
the rest where it would have cut it anyway: with an engine that computes the same from the same input its verdicts are
the same to the last bit. Between batches of different make-up a probability may move by rounding.

What is not answered, as the judge's server refuses it or no label is seen, is written as such, but not kept: it says
nothing about the example, and the next run asks again. Where the engine fails, what it answered before is kept.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from storm_core.errors import InputError
from storm_core.judging.config import ScoreConfig
from storm_core.judging.engines.config import JudgeConfig
from storm_core.judging.engines.interface import Answer, Reading, StoppedError
from storm_core.judging.judge import Judge
from storm_core.judging.wording.prompts import Context, Question
from storm_core.records import Example
from storm_core.verdicts.schema import NO_ANSWER, Verdict

# How many examples are in memory as tokens; enough to find batches of like length among them.
_WINDOW_EXAMPLES = 2048
# A batch is closed when one more example would make more than this share of its tokens padding: small enough that a
# long example does not make short ones expensive, large enough that mixed lengths still share a pass.
_MAX_PADDING_SHARE = 0.1

# Verdicts by example ID and rubric name.
Known = dict[tuple[str, str], Verdict]


class Kept(Protocol):
    """Verdicts that are there already, and a place for new ones."""

    def find(self, examples: Iterable[Example]) -> Known:
        """What is there of these examples."""

    def add(self, batch: Sequence[Verdict]) -> None:
        """Keep what of a batch was answered."""


def score_examples(
    judge: Judge,
    examples: Iterable[Example],
    config: ScoreConfig,
    kept: Kept,
    write: Callable[[Sequence[Verdict]], None],
    unanswered: set[str],
) -> Iterator[str]:
    """Write the educational value of each example, followed by its difficulty if the former's label is high enough.

    Only what `kept` lacks is asked, and added there if it was answered.

    Args:
        judge: whom to ask.
        examples: read as a stream.
        config: what makes the prompts and the batches.
        kept: see above.
        write: called with the verdicts of one window after the other, in the order of the examples.
        unanswered: the IDs of the examples about which a question was not answered; filled in here.

    Yields:
        The ID of each example as it is done, in the order of the work.

    Raises:
        InputError: the judge cannot be asked in this way, or its window is too short for `max_length`.
    """
    stream = iter(examples)
    while window := list(itertools.islice(stream, _WINDOW_EXAMPLES)):
        known = kept.find(window)
        yield from _complete(judge, {example.id: example for example in window}, known, config, kept, unanswered)
        names = (judge.educational_value.rubric.name, judge.difficulty.rubric.name)
        wanted = ((example.id, name) for example in window for name in names)
        write([known[key] for key in wanted if key in known and _is_wanted(judge, known, key, config)])


def make_batches(judge: Judge, contexts: Mapping[str, Context], config: JudgeConfig) -> list[list[str]]:
    """The IDs of `contexts`, the longest first, in batches as the judge's engine likes them."""
    engine = judge.engine
    lengths = {id: len(context.ids) + judge.question_tokens for id, context in contexts.items()}
    # Ties are broken by ID, not by place: the same examples in another order make the same batches.
    order = sorted(contexts, key=lambda each: (-lengths[each], each))
    counted = [lengths[id] for id in order]
    return group_by_length(order, counted, config.examples_at_once, pads=engine.pads, room=engine.room)


def group_by_length(
    rows: Sequence[str], lengths: Sequence[int], batch_size: int, *, pads: bool = True, room: int | None = None
) -> list[list[str]]:
    """Consecutive rows in batches of at most `batch_size`, as an engine with `pads` and `room` likes them.

    `lengths` (tokens of each row) must not increase, so that the first row of a batch gives its width. A batch is
    filled before the next is begun: without the first batches, the rest is cut as before.
    """
    batches: list[list[str]] = []
    width = tokens = 0
    for row, length in zip(rows, lengths, strict=True):
        count = len(batches[-1]) + 1 if batches else 0
        padded = pads and tokens + length < (1 - _MAX_PADDING_SHARE) * width * count
        if not batches or count > batch_size or padded or (room is not None and tokens + length > room):
            batches.append([])
            width, tokens = length, 0
        batches[-1].append(row)
        tokens += length
    return batches


def _complete(
    judge: Judge, window: Mapping[str, Example], known: Known, config: ScoreConfig, kept: Kept, unanswered: set[str]
) -> Iterator[str]:
    """Add to `known` and `kept` what is missing of the window, and to `unanswered` what was not answered."""
    first, second = judge.educational_value.rubric.name, judge.difficulty.rubric.name
    unasked = {id for id in window if (id, first) not in known}
    # Asked by a run with a higher threshold: the difficulty alone is missing.
    half = {
        id for id in window.keys() - unasked if (id, second) not in known and _passes(judge, known[id, first], config)
    }
    yield from window.keys() - unasked - half
    if not unasked and not half:
        return
    missing = unasked | half
    asked = [id for id in window if id in missing]
    read = judge.builder.contexts([window[id].messages for id in asked], config.max_length)
    contexts = dict(zip(asked, read, strict=True))
    judge.check_window(list(contexts.values()))
    # One kind after the other: an example of the first never becomes one of the second.
    for kind, ask in ((unasked, _ask_both), (half, _ask_difficulty)):
        for batch in make_batches(judge, {id: contexts[id] for id in kind}, config):
            judged: list[Verdict] = []
            try:
                ask(judge, [(window[id], contexts[id]) for id in batch], config, judged)
            except InputError:
                kept.add(judged)
                raise
            kept.add(judged)
            known.update({(verdict.id, verdict.rubric): verdict for verdict in judged})
            unanswered.update(verdict.id for verdict in judged if verdict.label == NO_ANSWER)
            yield from batch


def _ask_both(
    judge: Judge, batch: Sequence[tuple[Example, Context]], config: ScoreConfig, judged: list[Verdict]
) -> None:
    """Add the verdicts on a batch, from one reading: educational value, and difficulty of what passes."""
    reading = judge.engine.read([context for _, context in batch])
    _judge(judge, batch, judge.educational_value, reading, judged)
    passed = [row for row, verdict in enumerate(judged) if _passes(judge, verdict, config)]
    if passed:
        _judge(judge, [batch[row] for row in passed], judge.difficulty, reading.keep(passed), judged)


def _ask_difficulty(
    judge: Judge, batch: Sequence[tuple[Example, Context]], _: ScoreConfig, judged: list[Verdict]
) -> None:
    reading = judge.engine.read([context for _, context in batch])
    _judge(judge, batch, judge.difficulty, reading, judged)


def _judge(
    judge: Judge,
    batch: Sequence[tuple[Example, Context]],
    question: Question,
    reading: Reading,
    judged: list[Verdict],
) -> None:
    """Add the verdicts to one question; where the engine stops, those there are."""
    error: StoppedError | None = None
    try:
        answers: Sequence[Answer | None] = reading.ask(question)
    except StoppedError as stopped:
        answers, error = stopped.answers, stopped
    pairs = zip(batch, answers, strict=True)
    judged += [make_verdict(judge, *pair, question, answer) for pair, answer in pairs if answer]
    if error:
        raise error


def _passes(judge: Judge, verdict: Verdict, config: ScoreConfig) -> bool:
    """Whether an educational value is high enough to ask for the difficulty."""
    if verdict.label == NO_ANSWER:
        return False
    return judge.educational_value.rubric.value_of(verdict.label) >= config.min_educational_value


def _is_wanted(judge: Judge, known: Known, key: tuple[str, str], config: ScoreConfig) -> bool:
    """Whether this run would have asked; a run with a lower threshold may have asked for more."""
    id, rubric = key
    first = judge.educational_value.rubric.name
    return rubric == first or _passes(judge, known[id, first], config)


def make_verdict(judge: Judge, example: Example, context: Context, question: Question, answer: Answer) -> Verdict:
    """The verdict that an answer comes to.

    Raises:
        InputError: the probabilities are not finite.
    """
    rubric = question.rubric
    probabilities = answer.probabilities
    if not all(map(math.isfinite, (*probabilities, answer.label_mass))):
        raise InputError(
            f"the judge has no finite probabilities for {rubric.name} of the example {example.id}; set dtype float32, "
            "or check the model's weights"
        )
    weighted = zip(rubric.values, probabilities, strict=True)
    return Verdict(
        id=example.id,
        source=example.source,
        rubric=rubric.name,
        rubric_hash=rubric.sha256,
        judge_digest=judge.digest,
        labels=rubric.labels,
        values=rubric.values,
        probabilities=probabilities,
        label=rubric.labels[probabilities.index(max(probabilities))] if answer.is_answer else NO_ANSWER,
        expected_value=sum(value * probability for value, probability in weighted),
        label_mass=answer.label_mass,
        unseen_mass=answer.unseen_mass,
        tokens=context.tokens,
        truncated=context.truncated,
    )
