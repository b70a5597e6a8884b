import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from storm_core.artifacts import hash_file
from storm_core.curation import scoring
from storm_core.curation.config import ScoreConfig
from storm_core.curation.kept_batches import KeptBatches
from storm_core.curation.scoring import score_examples
from storm_core.records import write_examples
from storm_core.stores.parts import DirectoryParts

ROOT = Path(__file__).parents[2]
CONFIG = ScoreConfig(dtype="float32", min_educational_value=1.0, batch_size=2)
# `storm score` that keeps every batch at once and takes its time over each, so that a kill comes between two.
SLOW = (
    "import sys, time; from storm_core import cli; from storm_core.curation import kept_batches, scoring;"
    "kept_batches.KeptBatches.__init__.__defaults__ = (0.0,); score = scoring._score_batch;"
    "scoring._score_batch = lambda *a: (print('batch', file=sys.stderr, flush=True), time.sleep(0.2), score(*a))[2];"
    "sys.exit(cli.main())"
)


def kept(directory: Path) -> KeptBatches:
    return KeptBatches(DirectoryParts(directory), seconds_between_parts=0.0)


def test_scoring_that_was_interrupted_goes_on_and_ends_with_the_same_verdicts(
    tiny_judge, examples, tmp_path, monkeypatch
):
    whole = score_examples(tiny_judge, examples, CONFIG)
    score_batch, asked = scoring._score_batch, []

    def interrupted(judge, batch, *rest):
        asked.append([example.id for example, _ in batch])
        if len(asked) == 3:
            raise KeyboardInterrupt
        return score_batch(judge, batch, *rest)

    monkeypatch.setattr(scoring, "_score_batch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        score_examples(tiny_judge, examples, CONFIG, kept(tmp_path))
    assert score_examples(tiny_judge, examples, CONFIG, kept(tmp_path)) == whole
    finished = asked[:2] + asked[3:]
    assert sorted(id for batch in finished for id in batch) == sorted(example.id for example in examples)


def test_altered_part_is_scored_again(tiny_judge, examples, tmp_path):
    whole = score_examples(tiny_judge, examples, CONFIG, kept(tmp_path))
    first = min(tmp_path.iterdir())
    first.write_bytes(first.read_bytes()[:-1])
    assert score_examples(tiny_judge, examples, CONFIG, kept(tmp_path)) == whole


def test_part_that_two_attempts_kept_counts_once(tiny_judge, examples, tmp_path):
    whole = score_examples(tiny_judge, examples, CONFIG, kept(tmp_path))
    parts = DirectoryParts(tmp_path)
    assert parts.fetch("verdicts-000000.parquet", tmp_path / "copy")
    parts.keep("verdicts-000099.parquet", tmp_path / "copy")
    assert score_examples(tiny_judge, examples, CONFIG, kept(tmp_path)) == whole


@pytest.mark.slow
def test_killed_process_is_gone_on_with_to_the_same_file(tiny_llama, examples, tmp_path):
    shards = tmp_path / "examples"
    shards.mkdir()
    write_examples(shards / "shard-00000.parquet", examples)

    def command(output: Path) -> list[str]:
        flags = ["--model", str(tiny_llama), "--examples", str(shards), "--verdicts", str(output), "--dtype", "float32"]
        flags += ["--batch-size", "1", "--min-educational-value", "1"]
        return [sys.executable, "-c", SLOW, "score", *flags]

    environment = {**os.environ, "OMP_NUM_THREADS": "1", "STORM_STORE": ""}
    subprocess.run(command(tmp_path / "whole"), cwd=ROOT, env=environment, capture_output=True, check=True)
    generator = random.Random(7)  # noqa: S311 (not for secrets)
    batches = 0
    for _ in range(3):
        with subprocess.Popen(
            command(tmp_path / "killed"), cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stderr
            while "batch" not in (line := process.stderr.readline()):
                assert line, "it ended before its first batch"
            time.sleep(generator.uniform(0.0, 0.4))
            process.send_signal(signal.SIGKILL)
            batches += 1 + process.stderr.read().count("batch")
        assert not (tmp_path / "killed").exists()
    finished = subprocess.run(
        command(tmp_path / "killed"), cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    batches += finished.stderr.count("batch\n")
    assert hash_file(tmp_path / "killed" / "verdicts.parquet") == hash_file(tmp_path / "whole" / "verdicts.parquet")
    assert len(examples) <= batches <= len(examples) + 3, "no more is scored twice than what was in hand at each kill"
