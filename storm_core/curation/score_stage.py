"""`storm score`: read one shard of examples, ask the judge, write its verdicts."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from storm_core.compute import load_model, load_tokenizer, resolve_dtype
from storm_core.curation.config import ScoreConfig
from storm_core.curation.kept_batches import KeptBatches
from storm_core.curation.rubrics import DIFFICULTY, EDUCATIONAL_VALUE
from storm_core.curation.scoring import Judge, score_examples
from storm_core.curation.verdicts import FILE_NAME, Verdict, write_verdicts
from storm_core.records import read_examples
from storm_core.stage import Inputs, Results
from storm_core.workspace import Workspace


def run(config: ScoreConfig, inputs: Inputs, outputs: Mapping[str, Path], workspace: Workspace) -> Results:
    """Write `verdicts.parquet`, in the order of the shard; batches that a killed attempt finished are not asked again.

    Raises:
        InputError: no such shard, or a judge that cannot be asked.
    """
    examples = list(read_examples(inputs["examples"].file(f"shard-{config.shard:05d}.parquet")))
    model = inputs["model"]
    judge = Judge(
        tokenizer=load_tokenizer(model.path),
        model=load_model(model.path, resolve_dtype(config.dtype)),
        digest=model.digest,
    )
    verdicts = score_examples(judge, examples, config, KeptBatches(workspace.of_run()))
    write_verdicts(outputs["verdicts"] / FILE_NAME, verdicts)
    return Results(metrics=_metrics(verdicts))


def _metrics(verdicts: Sequence[Verdict]) -> dict[str, float]:
    """How many examples, and of each rubric the label counts and means."""
    first = [verdict for verdict in verdicts if verdict.rubric == EDUCATIONAL_VALUE]
    metrics: dict[str, float] = {"examples": len(first), "truncated": sum(verdict.truncated for verdict in first)}
    for rubric in (EDUCATIONAL_VALUE, DIFFICULTY):
        asked = [verdict for verdict in verdicts if verdict.rubric == rubric]
        counts = Counter(verdict.label for verdict in asked)
        metrics[f"{rubric}_asked"] = len(asked)
        for label in asked[0].labels if asked else ():
            metrics[f"{rubric}_label_{label}"] = counts[label]
        if asked:
            metrics[f"{rubric}_mean"] = sum(verdict.expected_value for verdict in asked) / len(asked)
            metrics[f"{rubric}_label_mass_mean"] = sum(verdict.label_mass for verdict in asked) / len(asked)
    return metrics
