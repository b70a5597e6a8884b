"""`python -m pipelines submit --schedule`, by kfp's own client, against a stand-in for the server."""

from pathlib import Path

import pytest

from tests.pipelines.kfp_server import KfpServer
from tests.pipelines.submitting import kfp, only, recipe, s3, settings, submit

__all__ = ["kfp", "recipe", "s3", "settings"]


def test_schedule_is_one_run_at_a_time_without_catching_up_and_is_made_once(
    recipe: Path, kfp: KfpServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert submit(recipe, kfp, "--schedule", "30 2 * * mon-fri") == 0
    made = only(kfp.state.recurring_runs)
    assert made["trigger"]["cron_schedule"]["cron"] == "0 30 2 * * mon-fri"
    assert made["max_concurrency"] in (1, "1")
    assert made["no_catchup"] is True
    assert made["mode"] == "ENABLE"
    assert not kfp.state.runs
    assert "0 30 2 * * mon-fri (second, minute, hour, day, month, weekday;" in capsys.readouterr().out
    assert submit(recipe, kfp, "--schedule", "0 30 2 * * mon-fri") == 0
    assert len(kfp.state.recurring_runs) == 1
    assert submit(recipe, kfp, "--schedule", "0 4 * * *") == 0
    assert len(kfp.state.recurring_runs) == 2


def test_schedule_that_computes_afresh_is_another_and_one_that_is_disabled_is_told(
    recipe: Path, kfp: KfpServer, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        assert submit(recipe, kfp, "--schedule", "0 4 * * *", "--rerun", "gate") == 0
    afresh = only(kfp.state.recurring_runs)
    assert submit(recipe, kfp, "--schedule", "0 4 * * *") == 0
    assert len(kfp.state.recurring_runs) == 2
    afresh["status"] = "DISABLED"
    capsys.readouterr()
    assert submit(recipe, kfp, "--schedule", "0 4 * * *", "--rerun", "gate") == 0
    assert "there already, and disabled" in capsys.readouterr().out
