"""Numbers, decisions and verdicts that stages hand to each other, changed: read, or refused in a line."""

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storm_core.artifacts import open_directory
from storm_core.examples.index import read_index
from storm_core.promotion.config import GateConfig
from storm_core.promotion.stage import run as gate
from storm_core.records import SCHEMA as EXAMPLES
from storm_core.records import Message, count_examples, make_example, read_examples, write_examples
from storm_core.registry.stage import read_decision
from storm_core.reporting.config import ReportConfig
from storm_core.reporting.contents import collect
from storm_core.reporting.stage import run as report
from storm_core.selection.funnel import check_ledger, parse_ledger
from storm_core.selection.verdicts_by_example import read_by_example
from storm_core.verdicts.files import read_verdicts, write_verdicts
from storm_core.verdicts.schema import SCHEMA as VERDICTS
from storm_core.verdicts.settings import refuse_mixed, write_settings
from storm_core.verdicts.summary import summarise
from tests.fuzzing.handed_on import ChangedFile, files_of, mutate_file, run_of
from tests.fuzzing.mutations import mutate_bytes, mutate_json, mutate_value, to_json
from tests.fuzzing.readers import Reader, fuzz, readers, times
from tests.verdicts.conftest import make_verdict

_EXAMPLES = [
    make_example("chat", [Message(role="user", content=f"Q{number}"), Message(role="assistant", content="A")], {})
    for number in range(3)
]
_REPORTED = {
    "selection": ["funnel.json"],
    "scan": ["scan.json"],
    "training": ["history.json", "freezing.json", "examples.json"],
    "merged_evaluation": ["results.json", "samples.parquet"],
    "decision": ["decision.json"],
    "registration": ["registration.json"],
    "verdicts": ["verdicts.parquet"],
}


def reported(directory: Path) -> Sequence[ChangedFile]:
    return files_of(run_of(directory), _REPORTED)


def read_for_report(file: ChangedFile, place: Path) -> None:
    collect("A run", file.inputs(place))


def draw_report(file: ChangedFile, place: Path) -> None:
    (place / "changed").mkdir()
    (place / "report").mkdir()
    report(ReportConfig(), file.inputs(place / "changed"), {"report": place / "report"})


def evaluations(directory: Path) -> Sequence[ChangedFile]:
    return files_of(run_of(directory), {"merged_evaluation": ["results.json", "samples.parquet"]})


def pass_gate(file: ChangedFile, place: Path) -> None:
    (place / "changed").mkdir()
    (place / "decision").mkdir()
    gate(GateConfig(), file.inputs(place / "changed"), {"decision": place / "decision"})


def decisions(directory: Path) -> Sequence[ChangedFile]:
    return files_of(run_of(directory), {"decision": ["decision.json"]})


def read_gates_decision(file: ChangedFile, place: Path) -> None:
    read_decision(file.inputs(place)["decision"])


def ledgers(_: Path) -> Sequence[bytes]:
    return [to_json({"sources": {"chat": {"read": 5, "kept": 3, "dropped": {"malformed": 2}}}, "held_out": {}})]


def read_ledger(content: bytes, place: Path) -> None:
    check_ledger(parse_ledger(content.decode(errors="replace")), {"chat": 3})


def settings(_: Path) -> Sequence[bytes]:
    return [to_json({"engine": "openai", "endpoint": "http://a", "batch_size": 8, "max_length": 100})]


def read_settings(content: bytes, place: Path) -> None:
    for name in ("a", "b"):
        (place / name).mkdir()
    (place / "a" / "settings.json").write_bytes(content)
    write_settings(place / "b", json.loads(settings(place)[0]))
    refuse_mixed([open_directory(place / "a"), open_directory(place / "b")])


def shards(directory: Path) -> Sequence[bytes]:
    write_examples(directory / "shard.parquet", _EXAMPLES)
    return [(directory / "shard.parquet").read_bytes()]


def read_shard(content: bytes, place: Path) -> None:
    file = place / "shard-00000.parquet"
    file.write_bytes(content)
    count_examples(file)
    read_index([file])
    list(read_examples(file))


def verdicts(directory: Path) -> Sequence[bytes]:
    made = make_verdict.__wrapped__() if hasattr(make_verdict, "__wrapped__") else make_verdict
    listed = [made(example.id, (0.1, 0.7, 0.2)) for example in _EXAMPLES]
    write_verdicts(directory / "verdicts.parquet", listed)
    return [(directory / "verdicts.parquet").read_bytes()]


def read_table(content: bytes, place: Path) -> None:
    (place / "verdicts.parquet").write_bytes(content)
    write_examples(place / "shard.parquet", _EXAMPLES)
    list(read_verdicts(place / "verdicts.parquet"))
    read_by_example(read_index([place / "shard.parquet"]), [place / "verdicts.parquet"])
    for sources in summarise([place / "verdicts.parquet"]).values():
        for summary in sources.values():
            json.dumps(summary.numbers(), allow_nan=False)


def mutate_rows(schema: pa.Schema) -> Callable[[bytes, Random], bytes]:
    """Other values in the rows of a Parquet file of this schema, or other bytes."""

    def mutate(content: bytes, chance: Random) -> bytes:
        if chance.random() < 0.4:
            return mutate_bytes(content, chance)
        stream = io.BytesIO()
        try:
            rows = [mutate_value(row, chance) for row in pq.read_table(io.BytesIO(content)).to_pylist()]
            known = schema if chance.random() < 0.8 else None
            pq.write_table(pa.Table.from_pylist(rows, schema=known), stream)
        except (pa.ArrowException, OSError, OverflowError, TypeError, AttributeError, ValueError, RecursionError):
            return mutate_bytes(content, chance)
        return stream.getvalue()

    return mutate


@times
@readers(
    Reader(name="inputs of report", valid=reported, mutate=mutate_file, read=read_for_report, inputs=80),
    Reader(name="inputs of gate", valid=evaluations, mutate=mutate_file, read=pass_gate, inputs=60),
    Reader(name="decision", valid=decisions, mutate=mutate_file, read=read_gates_decision, inputs=40),
)
def test_changed_artifact_is_read_or_refused(reader: Reader[ChangedFile], times: int, tmp_path: Path) -> None:
    fuzz(reader, times, tmp_path)


@pytest.mark.nightly
@readers(Reader(name="page of report", valid=reported, mutate=mutate_file, read=draw_report, inputs=500))
def test_report_on_changed_artifacts_is_drawn_or_refused(reader: Reader[ChangedFile], tmp_path: Path) -> None:
    fuzz(reader, 1, tmp_path)


@times
@readers(
    Reader(name="ledger", valid=ledgers, mutate=mutate_json, read=read_ledger, inputs=120),
    Reader(name="settings of verdicts", valid=settings, mutate=mutate_json, read=read_settings, inputs=80),
    Reader(name="examples", valid=shards, mutate=mutate_rows(EXAMPLES), read=read_shard, inputs=110),
    Reader(name="verdicts", valid=verdicts, mutate=mutate_rows(VERDICTS), read=read_table, inputs=110),
)
def test_changed_file_is_read_or_refused(reader: Reader[bytes], times: int, tmp_path: Path) -> None:
    fuzz(reader, times, tmp_path)
