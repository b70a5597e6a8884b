"""What each task of a recipe takes of a machine: seconds, processor seconds and peak memory.

    python benchmarks/resources.py [--recipe recipes/smoke.yaml]

Runs the recipe with its engine of subprocesses, each stage started by a small process that measures it, in a new
directory, so that nothing is reused. `pipelines/profiles/laptop-kind.yaml` asks a cluster for this much.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from storm_core.telemetry import disable_telemetry  # noqa: E402 (found only with the root on the path)

disable_telemetry()

from pipelines import local  # noqa: E402
from pipelines.run import run_recipe  # noqa: E402
from storm_core.log_lines import TASK_NAME_VARIABLE  # noqa: E402

MEASURED_VARIABLE = "STORM_MEASURED"


class MeasuredStage(local.StageProcess):
    """A stage that leaves a line with its figures in the file that `MEASURED_VARIABLE` names."""

    def command(self) -> list[str]:
        """The stage's own command, started by this file."""
        return [sys.executable, __file__, "--measure", *super().command()]


def main() -> int:
    if sys.argv[1:2] == ["--measure"]:
        return measure(sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", type=Path, default=ROOT / "recipes" / "smoke.yaml")
    options = parser.parse_args()
    for name in [name for name in os.environ if name.startswith(("STORM_", "MLFLOW_"))]:
        del os.environ[name]
    local.StageProcess = MeasuredStage  # type: ignore[misc]
    with tempfile.TemporaryDirectory() as scratch:
        os.environ[MEASURED_VARIABLE] = f"{scratch}/measured"
        run_recipe(options.recipe, Path(scratch) / "runs")
        print_table(Path(scratch) / "measured")
    return 0


def measure(command: list[str]) -> int:
    """Run the command and note its figures; returns its exit code."""
    started = time.monotonic()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    figures = {
        "task": os.environ[TASK_NAME_VARIABLE],
        "seconds": time.monotonic() - started,
        "processor_seconds": usage.ru_utime + usage.ru_stime,
        "peak_megabytes": usage.ru_maxrss * 1024 / 1e6,
    }
    with Path(os.environ[MEASURED_VARIABLE]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(figures) + "\n")
    return process.returncode


def print_table(measured: Path) -> None:
    """A Markdown table, one row a task; of a task that ran several times the longest run and the highest peak."""
    rows: dict[str, list[dict[str, float]]] = defaultdict(list)
    for line in measured.read_text(encoding="utf-8").splitlines():
        figures = json.loads(line)
        rows[figures.pop("task")].append(figures)
    lines = [f"\n{os.cpu_count()} processors\n", "| task | seconds | processors busy | peak MB |", "|---|---|---|---|"]
    for task, runs in rows.items():
        longest = max(runs, key=lambda run: run["seconds"])
        busy = longest["processor_seconds"] / longest["seconds"]
        peak = max(run["peak_megabytes"] for run in runs)
        lines.append(f"| {task} | {longest['seconds']:.1f} | {busy:.2f} | {peak:.0f} |")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
