"""`storm score`: read one shard of examples, ask the judge what was not asked before, write its verdicts."""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from storm_core.errors import InputError
from storm_core.heartbeat import activity
from storm_core.judging.config import ScoreConfig
from storm_core.judging.judge import Judge, named_settings, numeric_settings, open_judge
from storm_core.judging.metrics import score_metrics
from storm_core.judging.scoring import score_examples
from storm_core.judging.wording.rubrics import load_rubrics
from storm_core.progress import progress, report
from storm_core.records import Example, check_messages, content_id, count_examples, read_columns, read_examples
from storm_core.stage import Inputs, Results
from storm_core.verdicts.cache import VerdictCache
from storm_core.verdicts.files import VerdictWriter
from storm_core.verdicts.schema import FILE_NAME, SCHEMA
from storm_core.verdicts.settings import write_settings
from storm_core.workspace import Workspace


def run(config: ScoreConfig, inputs: Inputs, outputs: Mapping[str, Path], workspace: Workspace) -> Results:
    """Write `verdicts.parquet`, in the order of the shard, and how the judge was asked to `settings.json`.

    Raises:
        InputError: no such shard, rubrics that cannot work, or a judge that cannot be asked.
    """
    shard = inputs["examples"].file(f"shard-{config.shard:05d}.parquet")
    total = count_examples(shard)
    judge = open_judge(config, inputs["model"], load_rubrics(inputs.get("rubrics")))
    unanswered: set[str] = set()
    directory = outputs["verdicts"]
    shared = workspace.shared(_identity(judge, numeric_settings(config, judge.builder)))
    with (
        tempfile.TemporaryDirectory(dir=directory, prefix=".known-") as scratch,
        VerdictCache(shared, Path(scratch), run_key=workspace.run_key, keep_seconds=config.keep_seconds) as kept,
        VerdictWriter(directory / FILE_NAME) as writer,
    ):
        ids = (id for batch in read_columns(shard, ("id",)) for id in batch["id"].to_pylist())
        with activity("read the verdicts that are known"):
            kept.load(ids, judge.rubric_hashes)

        done = score_examples(judge, _sound(shard), config, kept, writer.write, unanswered)
        for _ in progress(done, total=total, description="scoring", unit="examples"):
            pass
        kept.finish()
    write_settings(directory, named_settings(config, judge.builder))
    if unanswered:
        report(
            f"the judge gave no answer about {len(unanswered)} examples, which are unanswered in this output; a later "
            "run asks about them again; where they are too long for its server, raise the limit there, or lower "
            "max_length"
        )
    return Results(metrics=score_metrics(directory / FILE_NAME), complete=not unanswered)


def _identity(judge: Judge, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What verdicts that may stand for each other have in common; the wording of the rubric is in each of them."""
    return {
        "verdicts of": judge.digest,
        "prompt": judge.builder.fingerprint(),
        "columns": SCHEMA.names,
        **settings,
    }


def _sound(shard: Path) -> Iterator[Example]:
    """The examples of a shard, none of which could be taken for another: verdicts are found by content ID."""
    for row, example in enumerate(read_examples(shard)):
        try:
            check_messages(example.messages)
        except InputError as error:
            raise InputError(f"{shard}, row {row}: {error}; prepare the examples again") from error
        if example.id != content_id(example.messages):
            raise InputError(f"{shard}, row {row}: the id {example.id!r} is not that of the messages; prepare again")
        yield example
