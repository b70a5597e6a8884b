"""The workflows on GitHub run the lanes of the scripts in .ci, all of them, and may do little else."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
# The workflow that runs the lanes of a script, by the script's name.
SCRIPTS = {"run": "ci.yml", "nightly": "nightly.yml", "kubeflow": "kubeflow.yml"}


def lanes(script: str) -> list[str]:
    found = re.search(r"^LANES=\((.+)\)$", (ROOT / ".ci" / script).read_text(encoding="utf-8"), re.M)
    assert found
    return found[1].split()


def jobs(workflow: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load(workflow.read_text(encoding="utf-8"))["jobs"].values())


def lanes_run_by(job: dict[str, Any], script: str) -> list[str]:
    """The lanes of the script that the commands of a job name, each row of its matrix by itself."""
    rows = job.get("strategy", {}).get("matrix", {}).get("lanes", [""])
    commands = [step["run"] for step in job["steps"] if f".ci/{script}" in step.get("run", "")]
    written = [command.replace("${{ matrix.lanes }}", row) for command in commands for row in rows]
    return [lane for command in written for lane in command.partition(f".ci/{script}")[2].split()]


def test_every_workflow_runs_a_script() -> None:
    assert {workflow.name for workflow in WORKFLOWS} == set(SCRIPTS.values())


@pytest.mark.parametrize("script", SCRIPTS)
def test_each_lane_is_run_by_one_job(script: str) -> None:
    run = jobs(ROOT / ".github" / "workflows" / SCRIPTS[script])
    assert sorted(lane for job in run for lane in lanes_run_by(job, script)) == sorted(lanes(script))


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_lane_is_a_function_of_the_script(script: str) -> None:
    functions = re.findall(r"^(\w+)\(\) \{$", (ROOT / ".ci" / script).read_text(encoding="utf-8"), re.M)
    assert set(lanes(script)) == set(functions)


@pytest.mark.parametrize("script", SCRIPTS)
def test_lane_that_is_none_is_refused_with_those_there_are(script: str) -> None:
    refused = subprocess.run(["bash", ROOT / ".ci" / script, "nonsense"], capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert refused.stderr.strip() == f"no lane nonsense; there are {' '.join(lanes(script))}"


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_workflow_may_only_read_and_its_actions_have_versions(workflow: Path) -> None:
    text = workflow.read_text(encoding="utf-8")
    assert yaml.safe_load(text)["permissions"] == {"contents": "read"}
    assert not any("permissions" in job for job in jobs(workflow))
    used = re.findall(r"uses: (\S+)", text)
    assert used and all(re.fullmatch(r"actions/[a-z-]+@v\d+", action) for action in used)


@pytest.mark.parametrize("script", ["run", "nightly", "kubeflow", "kind_cluster", "start_docker.sh", "stop_docker.sh"])
def test_script_can_be_started(script: str) -> None:
    assert (ROOT / ".ci" / script).stat().st_mode & 0o100
