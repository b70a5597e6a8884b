"""`storm evaluate` killed and begun again: no batch is asked twice, and the outputs are the same bytes."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from storm_core.cli import main
from storm_core.evaluation import evaluation_cache
from storm_core.evaluation.evaluation_cache import ReplyCache

FILES = ("results.json", "samples.parquet")
# The command itself: each batch becomes a part at once, is noted when it is answered, and takes a little longer.
COMMAND = """
import sys, time
from storm_core.cli import main
from storm_core.evaluation import evaluation_cache
notes = open(sys.argv.pop(1), "a", buffering=1)
evaluation_cache.LONGEST_SECONDS = 0.0
ask = evaluation_cache.ReplyCache.ask
def noted(self, question, compute):
    def answer():
        replies = compute()
        notes.write(f"{hash(str(question))}\\n")
        time.sleep(0.03)
        return replies
    return ask(self, question, answer)
evaluation_cache.ReplyCache.ask = noted
sys.exit(main())
"""


class KilledError(BaseException):
    """Ends an attempt where it stands, as SIGKILL would."""


@pytest.fixture
def many(data: Path, suite: dict[str, Any]) -> Path:
    """Data whose suite makes a dozen batches of each benchmark."""
    calls, trivia = suite["benchmarks"]
    calls |= {"samples": 24}
    trivia |= {"batch_size": 2}
    trivia["questions"] |= {"samples": 24}
    (data / "suite.yaml").write_text(yaml.safe_dump(suite), encoding="utf-8")
    return data


def arguments(model: Path, data: Path, output: Path) -> list[str]:
    return ["evaluate", f"--model={model}", f"--data={data}", f"--evaluation={output}", "--suite=suite.yaml"]


def contents(output: Path) -> list[bytes]:
    return [(output / name).read_bytes() for name in FILES]


@pytest.mark.parametrize("at", [1, 7, 12, 13, 20])
def test_killed_run_goes_on_to_the_same_bytes(
    at: int, tiny_llama: Path, many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(arguments(tiny_llama, many, tmp_path / "reference")) == 0
    answered: list[str] = []
    ask = ReplyCache.ask

    def noted(kept: ReplyCache, question: Any, compute: Callable[[], Any]) -> list[Any]:
        def answer() -> Any:
            answered.append(str(question))
            if len(answered) == at:
                raise KilledError
            return compute()

        return ask(kept, question, answer)

    monkeypatch.setattr(ReplyCache, "ask", noted)
    monkeypatch.setattr(evaluation_cache, "LONGEST_SECONDS", 0.0)
    with pytest.raises(KilledError):
        main(arguments(tiny_llama, many, tmp_path / "resumed"))
    assert main(arguments(tiny_llama, many, tmp_path / "resumed")) == 0
    assert contents(tmp_path / "resumed") == contents(tmp_path / "reference")
    counts = Counter(answered)
    assert len(counts) == 24
    assert [question for question, count in counts.items() if count > 1] == [answered[at - 1]]


def test_finished_benchmark_is_not_measured_again(
    tiny_llama: Path, many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(tiny_llama, many, tmp_path / "reference")) == 0
    with monkeypatch.context() as patched, pytest.raises(KilledError):
        patched.setattr("storm_core.evaluation.stage._write_samples", lambda *_: (_ for _ in ()).throw(KilledError))
        main(arguments(tiny_llama, many, tmp_path / "resumed"))
    monkeypatch.setattr("storm_core.evaluation.stage.measure_task", None)
    monkeypatch.setattr("storm_core.evaluation.stage.measure_function_calling", None)
    capsys.readouterr()
    assert main(arguments(tiny_llama, many, tmp_path / "resumed")) == 0
    assert contents(tmp_path / "resumed") == contents(tmp_path / "reference")
    assert "trivia: was measured before the stage was interrupted" in capsys.readouterr().err


@pytest.mark.slow
def test_killed_process_begun_again_ends_with_the_same_bytes_and_asks_nothing_twice(
    tiny_llama: Path, many: Path, tmp_path: Path
) -> None:
    generator = random.Random()  # noqa: S311 (not a secret)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
    notes = tmp_path / "notes"

    def start(output: str, notes: Path) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-c", COMMAND, str(notes), *arguments(tiny_llama, many, tmp_path / output)]
        return subprocess.Popen(command, env=environment)

    def answered() -> list[str]:
        return notes.read_text().splitlines() if notes.exists() else []

    assert start("reference", tmp_path / "other-notes").wait(timeout=120) == 0
    kills = 2
    for _ in range(kills):
        process = start("resumed", notes)
        until = len(answered()) + generator.randrange(1, 9)
        while len(answered()) < until and process.poll() is None:
            time.sleep(0.005)
        time.sleep(generator.random() / 20)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    assert start("resumed", notes).wait(timeout=120) == 0
    assert contents(tmp_path / "resumed") == contents(tmp_path / "reference")
    counts = Counter(answered())
    assert len(counts) == 24
    # A kill may come between an answer and its part.
    assert counts.total() <= 24 + kills
    assert not [path for path in (tmp_path / ".evaluate.parts").rglob("*") if path.is_file()]
