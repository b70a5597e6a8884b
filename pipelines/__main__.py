"""`python -m pipelines compile|run|estimate|submit|watch|images`: the ways into the recipe's graph."""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from storm_core.errors import InputError, StoreError
from storm_core.machine_errors import refusal
from storm_core.own_servers import spare_own_servers
from storm_core.standard_streams import NO_READER, is_without_reader, standard_streams
from storm_core.stopping import Stopped, StopTold, stop_in_order
from storm_core.telemetry import disable_telemetry

if TYPE_CHECKING:
    from pipelines.profiles.fields import Profile


# Whatever is to be loaded is loaded once the program listens to signals.
def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    disable_telemetry()
    spare_own_servers()
    given = sys.argv[1:] if arguments is None else list(arguments)
    name = " ".join(["python -m pipelines", *given[:1]])
    with standard_streams(), stop_in_order():
        try:
            with StopTold():
                return _parse_and_run(given)
        except (InputError, StoreError) as error:
            return _fail(name, str(error))
        except OSError as error:
            if is_without_reader(error):
                return NO_READER
            if (words := refusal(error)) is None:
                raise
            return _fail(name, words)
        except Stopped as stop:
            print(f"{name}: interrupted; run it again to continue from what is done", file=sys.stderr)
            return stop.exit_code


def _parse_and_run(arguments: Sequence[str]) -> int:
    try:
        parsed = _parser().parse_args(arguments)
        return _COMMANDS[parsed.command](parsed)
    finally:
        sys.stdout.flush()


def _fail(name: str, words: str) -> int:
    print(f"{name}: error: {words}", file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    from pipelines.flags import make_parser  # noqa: PLC0415

    return make_parser(__doc__)


# Each way in loads only what it needs.
def _compile(parsed: argparse.Namespace) -> int:
    from pipelines.compilation import compile_recipe  # noqa: PLC0415

    compiled = compile_recipe(
        parsed.recipe,
        parsed.output,
        profile=parsed.profile,
        store=parsed.store,
        tracking_uri=parsed.tracking_uri,
        registered_model_name=parsed.registered_model_name,
        secrets=_secrets(parsed),
        service_account=parsed.service_account,
        registry=parsed.registry,
        digests=parsed.digests,
    )
    print(f"wrote {parsed.output}")
    if compiled.expectations:
        print("A run expects in its namespace", *compiled.expectations, sep="\n  ")
    for warning in compiled.warnings:
        print(f"python -m pipelines compile: warning: {warning}", file=sys.stderr)
    return 0


def _run(parsed: argparse.Namespace) -> int:
    from pipelines.run import run_recipe  # noqa: PLC0415

    name = parsed.registered_model_name
    run_recipe(parsed.recipe, parsed.runs_directory, engine=parsed.engine, registered_model_name=name)
    return 0


def _estimate(parsed: argparse.Namespace) -> int:
    from pipelines.estimation.assumptions import Assumptions  # noqa: PLC0415
    from pipelines.estimation.estimate import estimate_lines  # noqa: PLC0415
    from pipelines.profiles.loading import load_profile  # noqa: PLC0415

    names = ("rows", "train_examples", "tokens_per_example", "mfu")
    assumptions = Assumptions(**{name: getattr(parsed, name) for name in names})
    print(*estimate_lines(parsed.recipe, load_profile(parsed.profile), assumptions), sep="\n")
    return 0


def _submit(parsed: argparse.Namespace) -> int:
    from pipelines.submission.cron import kfp_cron  # noqa: PLC0415
    from pipelines.submission.submit import Submission, bring, run, schedule, show_plan  # noqa: PLC0415

    if parsed.resubmit < 0 or (parsed.resubmit and not parsed.wait):
        raise InputError(f"--resubmit must be 0 or more, and comes with --wait; got {parsed.resubmit}")
    # An empty one, as of a variable that is not set, must not start a run.
    if parsed.schedule is not None:
        if parsed.wait:
            raise InputError("--wait is for a run; a recurring run is made by --schedule without it")
        kfp_cron(parsed.schedule)
    submission = Submission(
        recipe=parsed.recipe,
        profile_name=parsed.profile,
        profile=_profile(parsed),
        digests=parsed.digests,
        allow_local_images=parsed.allow_local_images,
        rerun=parsed.rerun,
    )
    if parsed.dry_run:
        show_plan(submission)
        return 0
    started = bring(submission, parsed.host, parsed.namespace, parsed.experiment)
    if parsed.schedule is not None:
        schedule(started, parsed.schedule)
        return 0
    return run(started, submission.profile, waits=parsed.wait, resubmit=parsed.resubmit)


def _watch(parsed: argparse.Namespace) -> int:
    from pipelines.submission.server import Server  # noqa: PLC0415
    from pipelines.submission.submit import watch  # noqa: PLC0415

    return watch(Server(parsed.host, parsed.namespace), parsed.run)[0]


def _images(parsed: argparse.Namespace) -> int:
    from pipelines.compilation import chosen_profile  # noqa: PLC0415
    from pipelines.submission.mirror import needed_images, with_digests  # noqa: PLC0415

    needed = needed_images(chosen_profile(parsed.profile, {"registry": parsed.registry}, {}), parsed.digests)
    found, kept = with_digests(needed)
    print(*found, sep="\n")
    for line in kept:
        print(f"python -m pipelines images: warning: {line}", file=sys.stderr)
    return 0


def _profile(parsed: argparse.Namespace) -> "Profile":
    from pipelines.compilation import chosen_profile  # noqa: PLC0415

    names = ("store", "tracking_uri", "registered_model_name", "service_account", "registry")
    return chosen_profile(parsed.profile, {name: getattr(parsed, name) for name in names}, _secrets(parsed))


def _secrets(parsed: argparse.Namespace) -> dict[str, Any]:
    """Names of secrets by kind, of those that are given."""
    from pipelines.secrets import SECRETS  # noqa: PLC0415

    given = {kind: getattr(parsed, f"{kind}_secret".replace("-", "_")) for kind in SECRETS}
    return {kind: name for kind, name in given.items() if name is not None}


_COMMANDS = {
    "compile": _compile,
    "run": _run,
    "estimate": _estimate,
    "submit": _submit,
    "watch": _watch,
    "images": _images,
}


if __name__ == "__main__":
    sys.exit(main())
