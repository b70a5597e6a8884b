import json
import multiprocessing
import random
import time
from functools import partial
from multiprocessing import forkserver
from typing import Any

import pyarrow.parquet as pq
import pytest

from storm_core.artifacts import seal
from storm_core.cli import main
from storm_core.execution import execute
from storm_core.judging.config import SCORE, ScoreConfig
from storm_core.judging.engines.transformers_engine import TransformersEngine
from storm_core.pacing import Pace
from storm_core.records import Message, make_example, write_examples
from storm_core.stores.partial_results import DirectoryPartialResults
from storm_core.verdicts.cache import VerdictCache
from storm_core.verdicts.files import read_verdicts
from storm_core.verdicts.schema import FILE_NAME

KILLS = 20


def write_prepared(directory, count):
    """One shard of so many short examples."""
    examples = [
        make_example(
            "chat",
            [
                Message(role="user", content=f"What is {number}? " * (1 + number % 7)),
                Message(role="assistant", content=f"A number, {number}. " * (1 + number % 3)),
            ],
        )
        for number in range(count)
    ]
    directory.mkdir(parents=True)
    write_examples(directory / "shard-00000.parquet", examples)
    (directory / "ledger.json").write_text(json.dumps({"sources": {}}))
    seal(directory, "examples", producer={}, inputs={}, metrics={})
    return examples


def score(tiny_llama, prepared, output, *, rubrics=None, **options):
    return execute(
        SCORE,
        ScoreConfig(**{"dtype": "float32", "min_educational_value": 1.0, "batch_size": 4, **options}),
        inputs={
            "model": [str(tiny_llama)],
            "examples": [str(prepared)],
            **({"rubrics": [str(rubrics)]} if rubrics else {}),
        },
        outputs={"verdicts": output},
        value_files={},
    )


def parts_beside(output):
    return sorted((output.parent / ".score.parts").rglob("*.parquet.*"))


def rows_of(partial_results):
    return [(row["id"], row["rubric"]) for path in partial_results for row in pq.read_table(path).to_pylist()]


@pytest.fixture
def read_counts(monkeypatch):
    """How many contexts each reading of a model took, over all runs of a test in this process."""
    counts = []
    read = TransformersEngine.read

    def counting(engine, contexts):
        counts.append(len(contexts))
        return read(engine, contexts)

    monkeypatch.setattr(TransformersEngine, "read", counting)
    return counts


@pytest.fixture
def processes(monkeypatch):
    """Starts processes from a server of its own: one that other tests have started has their environment."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    server: Any = forkserver._forkserver
    server._stop()
    yield multiprocessing.get_context("forkserver")
    server._stop()


@pytest.mark.nightly
def test_verdicts_after_twenty_kills_are_the_bytes_of_an_uninterrupted_run(tmp_path, tiny_llama, processes):
    processes.set_forkserver_preload(
        ["storm_core.cli", "storm_core.judging.stage", "transformers.models.llama.modeling_llama"]
    )
    examples = write_prepared(tmp_path / "examples", 600)

    def begin(name):
        arguments = ["score", "--model", str(tiny_llama), "--examples", str(tmp_path / "examples")]
        arguments += ["--verdicts", str(tmp_path / name / "verdicts"), "--dtype", "float32", "--batch-size", "4"]
        arguments += ["--min-educational-value", "1", "--keep-seconds", "0"]
        process = processes.Process(target=main, args=(arguments,))
        process.start()
        return process

    whole = begin("whole")
    whole.join(100)
    assert whole.exitcode == 0
    assert (tmp_path / "whole" / "verdicts" / FILE_NAME).is_file()

    output = tmp_path / "killed" / "verdicts"
    chance = random.Random(5)  # noqa: S311 (not secret)
    kept_before = 0
    # A part written again, with the same verdicts, has the same name but is another file.
    written_before: dict[Any, Any] = {}
    for _ in range(KILLS):
        process = begin("killed")
        # Some kills come before the first part, some while one is written, some between two.
        wanted = kept_before + chance.randrange(0, 5)
        while process.is_alive() and len(parts_beside(output)) < wanted:
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.05))
        process.kill()
        process.join()
        assert process.exitcode == -9, "it was over before it could be killed"
        assert not output.exists()
        kept = parts_beside(output)
        rows = rows_of(kept)
        assert len(rows) == len(set(rows)), "an example was scored twice"
        written = {path: path.stat().st_ino for path in kept}
        assert written_before.items() <= written.items(), "an example was scored again"
        written_before = written
        kept_before = len(kept)
    assert kept_before > KILLS

    last = begin("killed")
    last.join(100)
    assert last.exitcode == 0
    assert (output / FILE_NAME).read_bytes() == (tmp_path / "whole" / "verdicts" / FILE_NAME).read_bytes()
    (compacted,) = parts_beside(output)
    assert len(rows_of([compacted])) == len(set(rows_of([compacted]))) == 2 * len(examples)


def test_another_threshold_asks_only_what_was_not_asked(tmp_path, tiny_llama, read_counts):
    write_prepared(tmp_path / "examples", 40)
    whole = score(tiny_llama, tmp_path / "examples", tmp_path / "out" / "whole", min_educational_value=1.0)
    assert sum(read_counts) == 40
    read_counts.clear()
    strict = score(tiny_llama, tmp_path / "examples", tmp_path / "out" / "strict", min_educational_value=5.0)
    assert read_counts == []
    assert strict.metrics["difficulty_asked"] < whole.metrics["difficulty_asked"] == 40
    # As a run that never saw the other one.
    score(tiny_llama, tmp_path / "examples", tmp_path / "alone" / "strict", min_educational_value=5.0)
    assert sum(read_counts) == 40
    files = [tmp_path / place / "strict" / FILE_NAME for place in ("out", "alone")]
    assert files[0].read_bytes() == files[1].read_bytes()
    read_counts.clear()
    score(tiny_llama, tmp_path / "examples", tmp_path / "alone" / "whole", min_educational_value=1.0)
    assert sum(read_counts) == 40 - strict.metrics["difficulty_asked"]
    pairs = zip(*(read_verdicts(tmp_path / place / "whole" / FILE_NAME) for place in ("out", "alone")), strict=True)
    for one, other in pairs:
        assert (one.id, one.rubric, one.label) == (other.id, other.rubric, other.label)
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5)


def test_more_examples_ask_about_the_new_ones_alone(tmp_path, tiny_llama, read_counts):
    write_prepared(tmp_path / "some", 20)
    write_prepared(tmp_path / "more", 33)
    score(tiny_llama, tmp_path / "some", tmp_path / "out" / "some")
    read_counts.clear()
    outcome = score(tiny_llama, tmp_path / "more", tmp_path / "out" / "more")
    assert sum(read_counts) == 13
    assert outcome.metrics["examples"] == 33
    old = {(v.id, v.rubric): v for v in read_verdicts(tmp_path / "out" / "some" / FILE_NAME)}
    new = {(v.id, v.rubric): v for v in read_verdicts(tmp_path / "out" / "more" / FILE_NAME)}
    assert old.items() <= new.items()


def test_what_changes_the_numbers_is_asked_anew(tmp_path, tiny_llama, other_tiny_llama, read_counts):
    write_prepared(tmp_path / "examples", 6)
    score(tiny_llama, tmp_path / "examples", tmp_path / "out" / "first")
    rubrics = tmp_path / "rubrics"
    rubrics.mkdir()
    (rubrics / "framing.yaml").write_text(
        'head: "Look.\\n"\nturn: "{role}: {content}\\n"\ncut: "..."\ntail: "\\n"\n'
        "roles: {system: S, user: U, assistant: A, tool: T}\n"
    )
    wording = tmp_path / "wording"
    wording.mkdir()
    (wording / "difficulty.yaml").write_text(
        'name: difficulty\nquestion: "Easy or hard?"\nlabels: [easy, hard]\nvalues: [1, 2]\n'
    )
    changes = {
        "difficulty": {"rubrics": wording},
        "length": {"max_length": 64},
        "dtype": {"dtype": "bfloat16"},
        "framing": {"rubrics": rubrics},
        "judge": {"model": other_tiny_llama},
    }
    for name, change in changes.items():
        read_counts.clear()
        model = change.pop("model", tiny_llama)
        score(model, tmp_path / "examples", tmp_path / "out" / name, **change)
        assert sum(read_counts) == 6, name


def test_a_part_that_was_altered_is_scored_again(tmp_path, tiny_llama, read_counts):
    write_prepared(tmp_path / "examples", 8)
    score(tiny_llama, tmp_path / "examples", tmp_path / "out" / "first", keep_seconds=0.0)
    (part,) = parts_beside(tmp_path / "out" / "first")
    part.write_bytes(part.read_bytes()[:-1] + b"?")
    read_counts.clear()
    score(tiny_llama, tmp_path / "examples", tmp_path / "out" / "again")
    assert sum(read_counts) == 8
    first, again = (tmp_path / "out" / name / FILE_NAME for name in ("first", "again"))
    assert first.read_bytes() == again.read_bytes()


def test_an_error_in_the_middle_keeps_the_batches_before_it(tmp_path, tiny_llama, read_counts, monkeypatch):
    write_prepared(tmp_path / "examples", 40)
    ask = TransformersEngine.read

    def failing(engine, contexts):
        if len(read_counts) == 5:
            raise RuntimeError("the device is lost")
        return ask(engine, contexts)

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="the device is lost"):
        patch.setattr(TransformersEngine, "read", failing)
        score(tiny_llama, tmp_path / "examples", tmp_path / "out" / "verdicts", keep_seconds=1000.0)
    done = sum(read_counts)
    read_counts.clear()
    score(tiny_llama, tmp_path / "examples", tmp_path / "out" / "verdicts", keep_seconds=1000.0)
    assert 0 < done < 40 and sum(read_counts) == 40 - done


def test_a_kill_loses_no_more_verdicts_than_the_pace_allows(tmp_path, make_verdict, monkeypatch):
    seconds = [0.0]
    monkeypatch.setattr("storm_core.verdicts.cache.Pace", partial(Pace, clock=lambda: seconds[0]))
    (tmp_path / "scratch").mkdir()
    stored = DirectoryPartialResults(tmp_path / "parts")
    with VerdictCache(stored, tmp_path / "scratch", run_key="r" * 64, keep_seconds=300.0) as kept:
        for number in range(21):
            seconds[0] += 3.0
            kept.add([make_verdict(str(number), "educational_value", "3")])
            # Ten seconds, and the batch that was under way.
            assert len(rows_of((tmp_path / "parts").rglob("*.parquet.*"))) >= number - 3
        assert len(stored.names()) == 5


class InterruptedHereError(Exception):
    pass


class StopsAtDrop(DirectoryPartialResults):
    def drop(self, name):
        raise InterruptedHereError


def test_putting_parts_together_may_be_interrupted(tmp_path, make_verdict):
    verdicts = [make_verdict(str(number), "educational_value", "3") for number in range(9)]

    def open_kept(kind):
        scratch = tmp_path / f"scratch-{len(list(tmp_path.iterdir()))}"
        scratch.mkdir()
        return VerdictCache(kind(tmp_path / "parts"), scratch, run_key="r" * 64, keep_seconds=0.0)

    with open_kept(StopsAtDrop) as kept:
        for verdict in verdicts:
            kept.add([verdict])
        with pytest.raises(InterruptedHereError):
            kept.finish()
    assert len(DirectoryPartialResults(tmp_path / "parts").names()) == 10
    for _ in range(2):
        with open_kept(DirectoryPartialResults) as kept:
            kept.load([verdict.id for verdict in verdicts[:5]], {verdicts[0].rubric_hash})
            examples = [
                make_example("web", [Message(role="user", content="a"), Message(role="assistant", content="b")])
            ]
            assert kept.find(examples) == {}
            kept.finish()
        (name,) = DirectoryPartialResults(tmp_path / "parts").names()
        assert "whole" in name
    assert len(rows_of((tmp_path / "parts").rglob("*.parquet.*"))) == 9
