"""`storm audit`: read verdicts and examples, ask the judge about some of them again, write the report on the judge."""

import json
from collections.abc import Mapping, Set
from pathlib import Path

from storm_core.artifacts import Artifact
from storm_core.errors import InputError
from storm_core.examples.index import shard_files
from storm_core.examples.sampling import keys_of
from storm_core.heartbeat import activity
from storm_core.judge_audit.config import AuditConfig
from storm_core.judge_audit.contents import collect, metrics_of
from storm_core.judge_audit.expected import Expected
from storm_core.judge_audit.page import render_page
from storm_core.judge_audit.probes import ProbeVerdicts, ask_probes, make_probes
from storm_core.judge_audit.rewordings import Rewordings, load_rewordings
from storm_core.judge_audit.summary import ExampleSet, JudgeSummary
from storm_core.judging.judge import Judge, named_settings, open_judge
from storm_core.judging.wording.rubrics import load_rubrics
from storm_core.progress import progress
from storm_core.records import Example, read_columns, read_examples
from storm_core.stage import Inputs, Results
from storm_core.tracking import current_run
from storm_core.verdicts.schema import FILE_NAME
from storm_core.verdicts.settings import refuse_mixed

PAGE, DATA = "judge.html", "judge.json"
_ROWS_PER_BATCH = 50_000


def run(config: AuditConfig, inputs: Inputs, outputs: Mapping[str, Path]) -> Results:
    """Write `judge.html` and `judge.json`; the page goes to MLflow too.

    Raises:
        InputError: the verdicts are not this judge's on these examples by these rubrics, or it cannot be asked.
    """
    rubrics = load_rubrics(inputs.get("rubrics"))
    rewordings = load_rewordings(rubrics, inputs.get("rubrics"))
    reworded = [rubric for one in rewordings.values() for rubric in one.rubrics]
    judge = open_judge(config, inputs["model"], rubrics, reworded)
    summary = JudgeSummary((rubrics.educational_value, rubrics.difficulty), config)
    expected = Expected(judge_digest=judge.digest, rubrics=summary.by_name(), max_length=config.max_length)
    refuse_mixed(inputs.many("verdicts"), named_settings(config, judge.builder) if config.probe_examples else None)
    # In an order of their own, so that sums are rounded the same in whatever order they are given.
    verdicts = sorted(inputs.many("verdicts"), key=lambda one: one.digest)
    for artifact in progress(verdicts, total=len(verdicts), description="read the verdicts", unit="shards"):
        summary.read(artifact.file(FILE_NAME), expected)
    summary.check()
    shards = shard_files(inputs["examples"])
    with activity("read the examples"):
        _check_coverage(summary.examples, shards, inputs["examples"], config)
        examples = _gather(shards, summary.wanted())
    probe_verdicts = _ask(judge, summary, rewordings, examples, config)
    contents = collect(summary, probe_verdicts, rewordings, config, judge.digest)
    _write(outputs["audit"], contents, examples, config)
    current_run().log_file(outputs["audit"] / PAGE)
    return Results(metrics=metrics_of(contents))


def _check_coverage(judged: ExampleSet, shards: list[Path], examples: Artifact, config: AuditConfig) -> None:
    """Refuse verdicts that are not on each of the examples, once."""
    given = ExampleSet()
    for shard in shards:
        for batch in read_columns(shard, ("id",), _ROWS_PER_BATCH):
            given.add(keys_of(batch["id"].to_pylist(), config.salt))
    if judged.count != given.count:
        raise InputError(
            f"the verdicts are on {judged.count} examples, but {examples.path} holds {given.count}; give the "
            "verdicts of every shard, each once"
        )
    if judged != given:
        raise InputError(
            f"the verdicts are not on the examples in {examples.path}, though both are {given.count}; give the "
            "examples that were scored, and the verdicts of every shard once"
        )


def _gather(shards: list[Path], wanted: Set[str]) -> dict[str, Example]:
    """The examples with these IDs."""
    return {example.id: example for shard in shards for example in read_examples(shard, wanted)}


def _ask(
    judge: Judge,
    summary: JudgeSummary,
    rewordings: Mapping[str, Rewordings],
    examples: Mapping[str, Example],
    config: AuditConfig,
) -> ProbeVerdicts:
    probed = {name: [one.id for one in rubric.probed()] for name, rubric in summary.rubrics.items()}
    probe_verdicts: ProbeVerdicts = {}
    if not config.probe_examples:
        return probe_verdicts
    done = ask_probes(judge, make_probes(judge, rewordings), examples, probed, config, probe_verdicts)
    total = 2 * len({id for ids in probed.values() for id in ids})
    for _ in progress(done, total=total, description="asking again", unit="examples"):
        pass
    return probe_verdicts


def _write(
    directory: Path, contents: Mapping[str, object], examples: Mapping[str, Example], config: AuditConfig
) -> None:
    page = render_page(contents, examples, config.shown_characters)
    (directory / PAGE).write_text(page, encoding="utf-8")
    text = json.dumps(contents, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    (directory / DATA).write_text(text, encoding="utf-8")
