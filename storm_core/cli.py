"""`storm <verb> ...`: one subcommand a stage, its flags derived from the stage's declaration."""

import argparse
import contextlib
import dataclasses
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from storm_core import __version__, processes
from storm_core.artifact_commands.parser import add_artifact_parser, run_artifact_command
from storm_core.cluster.errors import ClusterError
from storm_core.cluster.one_pod import processes_to_start, run_here
from storm_core.cluster.worker_errors import leave_error
from storm_core.config import describe_option, parse_option
from storm_core.destinations import check_files
from storm_core.errors import InputError, StoreError
from storm_core.executor_output import parse_executor_input, run_name, write_executor_output
from storm_core.heartbeat import activity, heartbeat
from storm_core.introduction import introduce
from storm_core.line_stream import whole_lines
from storm_core.log_lines import TASK_NAME_VARIABLE, configure_logs
from storm_core.machine_errors import NamesFullDisk, refusal
from storm_core.own_servers import spare_own_servers
from storm_core.parent import end_with_parent
from storm_core.process_group import is_first_to_fail
from storm_core.progress import report, shows_bars
from storm_core.stage import Stage
from storm_core.stages import EXECUTOR_INPUT, PAGE, RERUN, STAGES, flag, load_stage
from storm_core.standard_streams import NO_READER, is_without_reader, standard_streams
from storm_core.stopping import Stopped, StopTold, stop_in_order
from storm_core.telemetry import disable_telemetry
from storm_core.threads import limit_threads

if TYPE_CHECKING:
    from storm_core.execution import Outcome
    from storm_core.pages.finished import Finished

ARTIFACT = "artifact"
_FIGURES_SHOWN = 6
_LINE_CHARACTERS = 150


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line says; returns the exit code.

    It is 0, or 1 where the input, the store or the machine cannot work; 128 and the signal's number where it was told
    to stop, which includes SIGPIPE's, of a reader that went.
    """
    disable_telemetry()
    spare_own_servers()
    limit_threads()
    end_with_parent()
    given = sys.argv[1:] if arguments is None else list(arguments)
    name = os.environ.get(TASK_NAME_VARIABLE, " ".join(["storm", *given[:1]]))
    with standard_streams(), stop_in_order():
        try:
            with StopTold():
                code = _parse_and_run(given)
                sys.stdout.flush()
                return code
        except (InputError, StoreError, ClusterError) as error:
            leave_error(error)
            return _fail(f"{name}: error: {error}")
        except OSError as error:
            if is_without_reader(error):
                return NO_READER
            if (words := refusal(error)) is None:
                raise
            return _fail(f"{name}: error: {words}")
        except Stopped as stop:
            if stop.kept is not None:
                report(f"{name}: {stop}")
            return stop.exit_code


def _parse_and_run(arguments: Sequence[str]) -> int:
    try:
        parsed = vars(build_parser().parse_args(arguments))
    finally:
        sys.stdout.flush()  # Where it has shown help or the version.
    verb = parsed.pop("verb")
    _quieten_libraries()
    configure_logs()
    with contextlib.nullcontext() if shows_bars() else whole_lines():
        if verb == ARTIFACT:
            return run_artifact_command(parsed)
        if count := processes_to_start(verb):
            return run_here(count, arguments)
        _run(load_stage(verb), parsed)
    return 0


def _fail(line: str) -> int:
    """Say why the stage fails, once where several processes fail together."""
    if processes.world_size() == 1 or is_first_to_fail():
        report(line, "error")
    return 1


def build_parser() -> argparse.ArgumentParser:
    """The parser of `storm`, with a subcommand for each stage."""
    parser = argparse.ArgumentParser(prog="storm", description="Stages of the Storm recipe. Each works alone.")
    parser.add_argument("--version", action="version", version=f"storm {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="<verb>")
    for verb in STAGES:
        stage = load_stage(verb)
        _add_flags(verbs.add_parser(verb, help=stage.summary, description=stage.summary, allow_abbrev=False), stage)
    add_artifact_parser(verbs)
    return parser


def _add_flags(parser: argparse.ArgumentParser, stage: Stage) -> None:
    inputs = parser.add_argument_group("inputs", "a directory, a manifest file, or a store URI")
    for name, declared in stage.inputs.items():
        text = f"{declared.help} ({declared.kind}{'; optional' if declared.optional else ''})"
        if declared.many:
            text += "; give the flag several times, or a JSON list of references"
        action = "append" if declared.many else "store"
        inputs.add_argument(
            flag(name), dest=name, metavar="REFERENCE", action=action, required=not declared.optional, help=text
        )
    outputs = parser.add_argument_group("outputs")
    for name, output in stage.outputs.items():
        outputs.add_argument(
            flag(name), dest=name, metavar="DIRECTORY", required=True, help=f"{output.help} ({output.kind})"
        )
    for name, value in stage.values.items():
        outputs.add_argument(flag(name), dest=name, metavar="FILE", help=f"file for {value.help}")
    outputs.add_argument(PAGE, dest="page", metavar="FILE", help="file for a page on what came out (HTML)")
    outputs.add_argument(EXECUTOR_INPUT, metavar="JSON", help="what KFP passes to learn of the outputs")
    text = "verbs or tasks, as a JSON list, that compute afresh: an earlier result does not stand in for them"
    outputs.add_argument(flag(RERUN), metavar="NAMES", help=text)
    _add_options(parser.add_argument_group("options"), stage)


def _add_options(group: "argparse._ArgumentGroup", stage: Stage) -> None:
    types = get_type_hints(stage.config)
    for field in dataclasses.fields(stage.config):
        required = field.default is dataclasses.MISSING
        group.add_argument(
            flag(field.name),
            dest=field.name,
            metavar=field.name.upper(),
            required=required,
            help=describe_option(field, types[field.name]).replace("%", "%%"),
        )


def _run(stage: Stage, parsed: dict[str, Any]) -> None:
    text = parsed.pop("executor_input")
    rerun = _references(RERUN, parsed.pop(RERUN))
    executor_input = parse_executor_input(text) if text else None
    if executor_input:
        from storm_core.tracking import KFP_RUN_NAME_VARIABLE

        os.environ[KFP_RUN_NAME_VARIABLE] = run_name(executor_input)
    given = {field.name: parsed[field.name] for field in dataclasses.fields(stage.config)}
    options = {name: parse_option(stage.config, name, text) for name, text in given.items() if text is not None}
    config, name = stage.config(**options), _task_name(stage)
    inputs = {name: _references(name, parsed[name]) for name in stage.inputs}
    for line in introduce(name, stage, config, inputs):
        report(line)
    outputs = {output: Path(parsed[output]) for output in stage.outputs}
    write_page = _page_writer() if parsed["page"] else None
    if parsed["page"]:
        check_files([Path(parsed["page"])], outputs, list(chain.from_iterable(inputs.values())))
    # Imported here: `--help` does not run a stage, and who waits knows already for what.
    from storm_core.execution import execute
    from storm_core.taking_part import take_part

    if not processes.is_main():
        take_part(stage, config, inputs, outputs)
        return
    with heartbeat(name):
        value_files = {value: Path(parsed[value]) for value in stage.values if parsed[value] is not None}
        afresh = stage.verb in rerun or name in rerun
        outcome = execute(stage, config, inputs=inputs, outputs=outputs, value_files=value_files, afresh=afresh)
        if write_page:
            page = Path(parsed["page"])
            with activity("write the page"), NamesFullDisk({page: page}):
                finished = _finished(name, stage, outcome, outputs, in_frame=bool(executor_input))
                write_page(page, finished)
    if executor_input:
        write_executor_output(executor_input, outcome.manifests, outcome.metrics)
    report(f"{name}: {_summary(stage, outcome)}"[:_LINE_CHARACTERS])


def _page_writer() -> "Callable[[Path, Finished], None]":
    """What writes a page; loaded before the stage runs, so that what is missing is said before hours of work.

    Raises:
        InputError: the template engine is not installed.
    """
    try:
        from storm_core.pages.page import write_page
    except ModuleNotFoundError as error:
        if error.name not in ("jinja2", "markupsafe"):
            raise
        raise InputError(f"{PAGE} needs {error.name}; install 'storm-kubeflow[report]'") from None
    return write_page


def _finished(
    name: str, stage: Stage, outcome: "Outcome", outputs: Mapping[str, Path], *, in_frame: bool
) -> "Finished":
    from storm_core.pages.finished import Finished

    manifests = outcome.manifests
    return Finished(
        name=name,
        stage=stage,
        outputs=manifests,
        references={output: manifests[output].uri or str(path.resolve()) for output, path in outputs.items()},
        metrics=outcome.metrics,
        reused=outcome.reused,
        seconds=outcome.seconds,
        in_frame=in_frame,
    )


def _summary(stage: Stage, outcome: "Outcome") -> str:
    """What a person learns when the stage is over; the manifest and MLflow hold all of it."""
    if outcome.reused:
        return "nothing changed, reused an earlier result"
    done = f"done in {outcome.seconds:.1f} s" + ("" if stage.reusable else " (runs every time)")
    figures = [f"{name}={value:.4g}" for name, value in outcome.metrics.items() if value != 0]
    return "  ".join([done, *figures[:_FIGURES_SHOWN]])


def _quieten_libraries() -> None:
    """Leave progress to the stages: the libraries' own bars would come between their lines."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    if not shows_bars():
        os.environ.setdefault("TQDM_DISABLE", "1")


def _task_name(stage: Stage) -> str:
    """What this run is called in its own lines: the pipeline's name for the task, else the command."""
    return os.environ.get(TASK_NAME_VARIABLE, f"storm {stage.verb}")


def _references(name: str, given: str | list[str] | None) -> list[str]:
    """One reference, several, or a JSON list of them as KFP passes it, for the input `name`.

    Raises:
        InputError: what starts as a JSON list is not a list of strings, or a reference cannot be one.
    """
    if given is None:
        return []
    listed: list[str] = []
    for text in [given] if isinstance(given, str) else given:
        listed.extend(_listed(name, text) if text.startswith("[") else [text])
    if any("\0" in reference for reference in listed):
        raise InputError(f"{flag(name)} has a reference with a null character, which no path and no URI holds")
    return [reference for reference in listed if reference]


def _listed(name: str, text: str) -> list[str]:
    try:
        listed = json.loads(text)
    except (ValueError, RecursionError):
        listed = None
    if not isinstance(listed, list) or not all(isinstance(reference, str) for reference in listed):
        form = f"""{flag(name)} '["one", "two"]'"""
        raise InputError(f"{flag(name)} {text:.200} is no JSON list of references; write {form}, each in double quotes")
    return listed


if __name__ == "__main__":
    sys.exit(main())
