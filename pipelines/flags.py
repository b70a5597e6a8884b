"""The flags of `python -m pipelines`, command by command."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.estimation.assumptions import DEFAULT_MFU
from pipelines.profiles.loading import DEFAULT, shipped
from pipelines.secrets import SECRETS

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_RECIPE = "YAML file of run arguments"


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """The parser of every command."""
    parser = argparse.ArgumentParser(prog="python -m pipelines", description=description)
    commands = parser.add_subparsers(dest="command", required=True)
    _add_compile(commands)
    _add_run(commands)
    _add_estimate(commands)
    _add_submit(commands)
    _add_watch(commands)
    images = commands.add_parser("images", help="list every image that a run needs, for a mirror")
    _add_profile(images)
    _add_registry(images)
    return parser


def _add_compile(commands: "Commands") -> None:
    compiler = commands.add_parser("compile", help="write the pipeline, with a recipe's arguments, as KFP YAML")
    compiler.add_argument("--recipe", type=Path, required=True, help=_RECIPE)
    compiler.add_argument("--output", type=Path, required=True, help="file to write")
    _add_cluster(compiler)


def _add_run(commands: "Commands") -> None:
    runner = commands.add_parser("run", help="run a recipe on this machine")
    runner.add_argument("--recipe", type=Path, required=True, help=_RECIPE)
    runner.add_argument("--engine", choices=["subprocess", "docker"], default="subprocess", help="what runs the tasks")
    runner.add_argument("--runs-directory", type=Path, default=Path("runs"), help="where runs are kept (default: runs)")
    _add_registered_model_name(runner)


def _add_estimate(commands: "Commands") -> None:
    estimate = commands.add_parser("estimate", help="work out memory, disk and GPU-hours of a recipe, stage by stage")
    estimate.add_argument("--recipe", type=Path, required=True, help=_RECIPE)
    _add_profile(estimate)
    estimate.add_argument("--rows", type=int, metavar="N", help="examples that are prepared and judged")
    estimate.add_argument("--train-examples", type=int, metavar="N", help="examples that are trained on")
    estimate.add_argument("--tokens-per-example", type=int, metavar="N", help="tokens of an example on average")
    text = f"share of the GPU's peak that model FLOPs reach (default: {DEFAULT_MFU}, published for an H100; not ours)"
    estimate.add_argument("--mfu", type=float, default=DEFAULT_MFU, help=text)


def _add_submit(commands: "Commands") -> None:
    submit = commands.add_parser("submit", help="run a recipe on Kubeflow Pipelines")
    submit.add_argument("--recipe", type=Path, required=True, help=_RECIPE)
    _add_cluster(submit)
    _add_server(submit)
    submit.add_argument("--experiment", default="storm", help="KFP's experiment for the run (default: storm)")
    submit.add_argument("--allow-local-images", action="store_true", help="take images without registry and digest")
    text = "compute this stage and all that follows afresh, whatever the store has"
    submit.add_argument("--rerun", metavar="VERB", help=text)
    submit.add_argument("--dry-run", action="store_true", help="show what would be computed; submit nothing")
    submit.add_argument("--wait", action="store_true", help="show tasks as they end; exit with the run's outcome")
    text = "with --wait: start a run that failed again, at most so many times (default: 0)"
    submit.add_argument("--resubmit", type=int, default=0, metavar="N", help=text)
    text = "make a recurring run instead: five fields of cron, or six with seconds first"
    submit.add_argument("--schedule", metavar="CRON", help=text)


def _add_watch(commands: "Commands") -> None:
    watch = commands.add_parser("watch", help="wait for a run that was submitted; exit with its outcome")
    watch.add_argument("run", metavar="RUN_ID", help="the run's ID")
    _add_server(watch)


def _add_server(parser: argparse.ArgumentParser) -> None:
    text = "URL of Kubeflow Pipelines (default: KF_PIPELINES_ENDPOINT, else where kfp's client looks)"
    parser.add_argument("--host", metavar="URL", help=text)
    parser.add_argument("--namespace", help="whose runs, where KFP has a namespace for each user")


def _add_cluster(parser: argparse.ArgumentParser) -> None:
    _add_profile(parser)
    parser.add_argument("--store", help="URI of the artifact store that every task uses (STORM_STORE)")
    parser.add_argument("--tracking-uri", help="MLflow server that every task logs to (MLFLOW_TRACKING_URI)")
    _add_registered_model_name(parser)
    for kind, secret in SECRETS.items():
        text = f"name of the Kubernetes secret with which tasks {secret.purpose} ({secret.keys()})"
        parser.add_argument(f"--{kind}-secret", metavar="NAME", help=text)
    parser.add_argument("--service-account", metavar="NAME", help="what the run's pods are to run as")
    _add_registry(parser)


def _add_registered_model_name(parser: argparse.ArgumentParser) -> None:
    text = "what the models are registered as in MLflow, in place of the recipe's register_registered_model_name"
    parser.add_argument("--registered-model-name", metavar="NAME", help=text)


def _add_profile(parser: argparse.ArgumentParser) -> None:
    text = f"what the cluster gives to each task: {', '.join(shipped())}, or a YAML file (default: {DEFAULT})"
    parser.add_argument("--profile", default=DEFAULT, help=text)


def _add_registry(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--registry", help="where the images were pushed to, such as ghcr.io/someone")
    parser.add_argument("--digests", type=Path, help="the images' build metadata; with it images are named by digest")
