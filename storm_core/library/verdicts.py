"""`score`: what a judge says of examples."""

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storm_core.judging.config import SCORE, ScoreConfig
from storm_core.library.conversations import Conversations, open_examples
from storm_core.library.display import ROWS_SHOWN, Displayed, Panel, cut, percent
from storm_core.library.options import Options, with_options
from storm_core.library.running import Reference, Runner, kept_or_temporary
from storm_core.records import Example, read_examples
from storm_core.stores.references import open_reference
from storm_core.verdicts.files import read_verdict_columns, verdict_from_row
from storm_core.verdicts.schema import EDUCATIONAL_VALUE, FILE_NAME, NO_ANSWER, SCHEMA, Verdict

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS_PER_BATCH = 10_000
_QUESTION_CHARACTERS = 100


@dataclass(frozen=True, kw_only=True)
class JudgedExample:
    """What the judge said of one example.

    Attributes:
        question: the example's last message from the user, in one line, cut.
        educational_value: label, expected value and the probability of each label; `id` and `source` of the example.
        difficulty: the same; None where it was not asked, as the educational value is below `min_educational_value`.
    """

    question: str
    educational_value: Verdict
    difficulty: Verdict | None


@dataclass(frozen=True, kw_only=True, repr=False)
class Verdicts(Displayed):
    """A judge's verdicts; iterating gives a `JudgedExample` for each example, in the order given.

    Attributes:
        rows: what the stage writes: one row for each example and rubric, with the fields of `Verdict` as columns.
        questions: of each example the last message from the user, in one line, cut.
        metrics: counts of labels, and means, by name.
    """

    rows: "pa.Table"
    questions: tuple[str, ...]
    metrics: Mapping[str, float]

    def __len__(self) -> int:
        return len(self.questions)

    def __iter__(self) -> Iterator[JudgedExample]:
        batches = self.rows.to_batches(max_chunksize=_ROWS_PER_BATCH)
        verdicts = (verdict_from_row(row) for batch in batches for row in batch.to_pylist())
        for question, (educational_value, *rest) in zip(self.questions, _by_example(verdicts), strict=True):
            difficulty = rest[0] if rest else None
            yield JudgedExample(question=question, educational_value=educational_value, difficulty=difficulty)

    @property
    def table(self) -> "pa.Table":
        """One row an example: ID, source, question, and of both rubrics the label, expected value and label mass."""
        import pyarrow as pa

        rubrics = ("educational_value", "difficulty")
        texts = [(name, pa.string()) for name in ("id", "source", "question", *rubrics)]
        numbers = [(f"{rubric}_{of}", pa.float64()) for rubric in rubrics for of in ("expected_value", "label_mass")]
        return pa.Table.from_pylist([_flat(judged) for judged in self], schema=pa.schema([*texts, *numbers]))

    def _panel(self) -> Panel:
        numbers = self.metrics
        asked, mean = numbers["difficulty_asked"], numbers.get("educational_value_mean")
        said = "" if mean is None else f", educational value {mean:.2f} on average"
        return Panel(
            summary=f"Verdicts on {len(self):,} examples{said}, difficulty asked of {asked:,.0f}",
            header=("example", "educational value", "difficulty", "probability of any label"),
            rows=[_row(judged) for judged in islice(self, ROWS_SHOWN)],
            total=len(self),
        )


class _ScoreStage(Runner[Options]):
    def score(
        self,
        model: Reference,
        examples: Conversations,
        output: Reference | None = None,
        rubrics: Reference | None = None,
        *args: Options.args,
        **options: Options.kwargs,
    ) -> Verdicts:
        """Educational value and difficulty of each example, as the judge sees them.

        Args:
            model: the judge, an instruct model: a checkpoint or artifact directory, a manifest file, or a URI.
            examples: conversations, each a list of `{"role": ..., "content": ...}` or a mapping with such a list as
                `messages` (or in any other shape that `prepare` reads); or a file of them; or what `prepare` wrote, of
                which one `shard` is read.
            output: a directory to keep the stage's files in; a run that was interrupted continues from what lies there,
                and the same run uses it again. None where left out.
            rubrics: a directory with rubrics of your own.

        Raises:
            InputError: an example is no conversation, or the judge cannot be asked. Says which and why.
        """
        with tempfile.TemporaryDirectory(prefix="storm-") as scratch, kept_or_temporary(output) as directory:
            opened = open_examples(examples, Path(scratch))
            inputs = {"model": model, "examples": opened, "rubrics": rubrics}
            manifest = self._run(inputs, directory, *args, **options)
            shard = f"shard-{manifest.producer['config']['shard']:05d}.parquet"
            return _read(directory, open_reference(opened).file(shard))


score = with_options(SCORE)(_ScoreStage(SCORE, ScoreConfig).score)


def _read(directory: Path, shard: Path) -> Verdicts:
    import pyarrow as pa

    artifact = open_reference(str(directory))
    batches = read_verdict_columns(artifact.file(FILE_NAME), SCHEMA.names, _ROWS_PER_BATCH)
    return Verdicts(
        rows=pa.Table.from_batches(batches, SCHEMA),
        questions=tuple(_question(example) for example in read_examples(shard)),
        metrics=artifact.manifest.metrics,
    )


def _question(example: Example) -> str:
    asked = [message.content for message in example.messages if message.role == "user"]
    return cut(asked[-1], _QUESTION_CHARACTERS)


def _by_example(verdicts: Iterable[Verdict]) -> Iterator[list[Verdict]]:
    """The verdicts on each example: educational value, which begins it, and difficulty if that was asked."""
    group: list[Verdict] = []
    for verdict in verdicts:
        if group and verdict.rubric == EDUCATIONAL_VALUE:
            yield group
            group = []
        group.append(verdict)
    if group:
        yield group


def _flat(judged: JudgedExample) -> dict[str, Any]:
    first = judged.educational_value
    row: dict[str, Any] = {"id": first.id, "source": first.source, "question": judged.question}
    for verdict in (first, judged.difficulty):
        if verdict:
            row[verdict.rubric] = verdict.label
            row[f"{verdict.rubric}_expected_value"] = verdict.expected_value
            row[f"{verdict.rubric}_label_mass"] = verdict.label_mass
    return row


def _row(judged: JudgedExample) -> tuple[str, ...]:
    difficulty = _answer(judged.difficulty) if judged.difficulty else "not asked"
    mass = percent(judged.educational_value.label_mass)
    return judged.question, _answer(judged.educational_value), difficulty, mass


def _answer(verdict: Verdict) -> str:
    """The label and the expected value."""
    return "no answer" if verdict.label == NO_ANSWER else f"{verdict.label} ({verdict.expected_value:.2f})"
