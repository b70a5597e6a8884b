"""`python -m pipelines compile|run`: the two ways into the recipe's graph."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pipelines.profiles.loading import DEFAULT, shipped
from pipelines.secrets import SECRETS
from storm_core.errors import InputError
from storm_core.stopping import EXIT_CODE, stop_in_order
from storm_core.telemetry import disable_telemetry


def main(arguments: Sequence[str] | None = None) -> int:
    """Compile or run a recipe; returns the exit code."""
    disable_telemetry()
    parsed = _parser().parse_args(arguments)
    name = f"python -m pipelines {parsed.command}"
    try:
        with stop_in_order():
            _run(parsed)
    except InputError as error:
        print(f"{name}: error: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, SystemExit) as stop:
        print(f"{name}: interrupted; run it again to continue from what is done", file=sys.stderr)
        return EXIT_CODE if isinstance(stop, SystemExit) else 130
    return 0


def _run(parsed: argparse.Namespace) -> None:
    # Each way in loads only what it needs.
    if parsed.command == "compile":
        from pipelines.compilation import compile_recipe  # noqa: PLC0415

        secrets = {kind: getattr(parsed, f"{kind}_secret".replace("-", "_")) for kind in SECRETS}
        compiled = compile_recipe(
            parsed.recipe,
            parsed.output,
            profile=parsed.profile,
            store=parsed.store,
            tracking_uri=parsed.tracking_uri,
            secrets={kind: name for kind, name in secrets.items() if name is not None},
            service_account=parsed.service_account,
            registry=parsed.registry,
            digests=parsed.digests,
        )
        print(f"wrote {parsed.output}")
        if compiled.expectations:
            print("A run expects in its namespace", *compiled.expectations, sep="\n  ")
        for warning in compiled.warnings:
            print(f"python -m pipelines compile: warning: {warning}", file=sys.stderr)
    else:
        from pipelines.run import run_recipe  # noqa: PLC0415

        run_recipe(parsed.recipe, parsed.runs_directory, engine=parsed.engine)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipelines", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    compiler = commands.add_parser("compile", help="write the pipeline, with a recipe's arguments, as KFP YAML")
    compiler.add_argument("--recipe", type=Path, required=True, help="YAML file of run arguments")
    compiler.add_argument("--output", type=Path, required=True, help="file to write")
    compiler.add_argument(
        "--profile",
        default=DEFAULT,
        help=f"what the cluster gives to each task: {', '.join(shipped())}, or a YAML file (default: {DEFAULT})",
    )
    compiler.add_argument("--store", help="URI of the artifact store that every task uses (STORM_STORE)")
    compiler.add_argument("--tracking-uri", help="MLflow server that every task logs to (MLFLOW_TRACKING_URI)")
    for kind, secret in SECRETS.items():
        text = f"name of the Kubernetes secret with which tasks {secret.purpose} ({secret.keys()})"
        compiler.add_argument(f"--{kind}-secret", metavar="NAME", help=text)
    compiler.add_argument("--service-account", metavar="NAME", help="what the run's pods are to run as")
    compiler.add_argument("--registry", help="where the images were pushed to, such as ghcr.io/someone")
    compiler.add_argument("--digests", type=Path, help="the images' build metadata; with it images are named by digest")
    runner = commands.add_parser("run", help="run a recipe on this machine")
    runner.add_argument("--recipe", type=Path, required=True, help="YAML file of run arguments")
    runner.add_argument("--engine", choices=["subprocess", "docker"], default="subprocess", help="what runs the tasks")
    runner.add_argument("--runs-directory", type=Path, default=Path("runs"), help="where runs are kept (default: runs)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
