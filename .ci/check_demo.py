"""Check what `make demo` left: `check_demo.py RUN_DIRECTORY [--second LOG]`; exits with 1 and says what is wrong."""

import argparse
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path

from storm_core.telemetry import disable_telemetry

disable_telemetry()
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from mlflow import MlflowClient  # noqa: E402 (it looks when it is imported)

from pipelines.database import database_uri  # noqa: E402 (found only with the root on the path)
from pipelines.s3_server import S3Server  # noqa: E402

MODELS = ("base", "sibling", "tuned", "merged", "quantized")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--second", type=Path, help="log of a second run, which must have reused the first")
    arguments = parser.parse_args()
    check_files(arguments.run)
    check_store(arguments.run)
    check_tracking(arguments.run)
    check_ui(arguments.run)
    if arguments.second:
        check_reuse(arguments.second)
    print(f"{arguments.run}: report, numbers, models, MLflow runs and registry are there")
    return 0


def check_files(run: Path) -> None:
    page = (run / "report.html").read_text(encoding="utf-8")
    require("<svg" in page and "</html>" in page, "report.html has no plots")
    external = re.findall(r'(?:src|href)="(?:https?:)?//[^"]*"', page)
    require(not external, f"report.html loads {external}")
    require("</html>" in (run / "judge.html").read_text(encoding="utf-8"), "judge.html is not whole")
    require(bool(json.loads((run / "results.json").read_text(encoding="utf-8"))), "results.json is empty")


def check_store(run: Path) -> None:
    """The store has the models: on this disk, or where the tasks ran in containers in the S3 server beside the run."""
    with ExitStack() as servers:
        variables, store = {}, (run / "artifacts").resolve().as_uri()
        if (run / "s3").is_dir():
            server = servers.enter_context(S3Server(run / "s3"))
            variables, store = server.environment(), "s3://storm"
        command = [str(Path(sys.executable).parent / "storm"), "artifact", "ls", "--kind", "model", store]
        listed = subprocess.run(
            command, env=os.environ | variables, check=True, stdout=subprocess.PIPE, text=True
        ).stdout
    require(len(re.findall("^model ", listed, re.M)) >= 4, f"fewer than four models in the store:\n{listed}")


def check_tracking(run: Path) -> None:
    client = MlflowClient(database_uri(run.resolve()))
    (experiment,) = [e for e in client.search_experiments() if e.name == run.name]
    parent, *_ = client.search_runs([experiment.experiment_id], filter_string="tags.`storm.recipe` LIKE '%'")
    nested = client.search_runs(
        [experiment.experiment_id], filter_string=f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'"
    )
    require(parent.info.status == "FINISHED", f"the parent run is {parent.info.status}")
    names = {one.info.run_name for one in nested}
    expected = {f"evaluate-{model}" for model in MODELS} | {
        "prepare",
        "score",
        "select",
        "audit",
        "scan",
        "train",
        "merge",
    }
    require(expected <= names, f"no nested run for {sorted(expected - names)}")
    for one in nested:
        require(one.info.status == "FINISHED", f"run {one.info.run_name} is {one.info.status}")
    (model,) = client.search_registered_models()
    require("candidate" in model.aliases, f"registered model {model.name} has no alias candidate")
    versions = client.search_model_versions(f"name='{model.name}'")
    require(len(versions) == 2, f"{len(versions)} registered versions, not 2: a retry must not add any")


def check_ui(run: Path) -> None:
    """The MLflow UI opens on the run's database with the command that the demo prints."""
    command = [str(Path(sys.executable).parent / "mlflow"), "ui", "--port", "5099"]
    command += ["--backend-store-uri", database_uri(run.resolve())]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(120):
            try:
                with urllib.request.urlopen("http://127.0.0.1:5099/", timeout=5) as page:
                    require(page.status == 200, f"the MLflow UI answers {page.status}")
                    return
            except OSError:
                time.sleep(0.5)
        require(False, "the MLflow UI does not answer within a minute")
    finally:
        process.terminate()
        process.wait()


def check_reuse(log: Path) -> None:
    lines = re.findall(r"^(\S+): (nothing changed|done in [\d.]+ s)", log.read_text(encoding="utf-8"), re.M)
    again = {name for name, what in lines if not what.startswith("nothing")}
    require(bool(lines), "the second run's log has no stage in it")
    require(again <= {"register"}, f"the second run did {sorted(again)} again")


def require(holds: bool, message: str) -> None:
    if not holds:
        sys.exit(f"demo check failed: {message}")


if __name__ == "__main__":
    sys.exit(main())
