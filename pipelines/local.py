"""The engine without containers: `kfp.local`, each component's command a subprocess of this Python.

KFP's own subprocess handler refuses container components. The handler here fills that gap and nothing more: KFP still
walks the graph, resolves placeholders, loops and passes artifacts.
"""

import codecs
import contextlib
import io
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO, TextIO, cast

from kfp import dsl, local
from kfp.local import config, status, subprocess_task_handler, task_handler_interface

from storm_core.line_stream import LineStream
from storm_core.log_lines import TASK_NAME_VARIABLE
from storm_core.parent import with_this_parent
from storm_core.progress import BAR_VARIABLE
from storm_core.standard_streams import LossyStream
from storm_core.stopping import telling_stop

# Stages share the cores and the memory of one machine, so loops run one task after another here.
_ONE_AT_A_TIME = threading.Lock()
LOG_DIRECTORY_VARIABLE = "STORM_LOG_DIRECTORY"


def run_in_subprocesses(
    pipeline: dsl.base_component.BaseComponent,
    arguments: Mapping[str, Any],
    *,
    pipeline_root: Path,
) -> dict[str, Any]:
    """Run the pipeline on this machine; returns its outputs.

    Args:
        pipeline: the graph component.
        arguments: run arguments by name.
        pipeline_root: directory for what passes between tasks: manifests and small values.

    Raises:
        RuntimeError: a task failed.
    """
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(pipeline_root), raise_on_error=True)
    stages = Stages()
    with tasks_run_by(partial(StageProcess, stages=stages)), quiet_kfp(), telling_stop(stages.stop):
        return dict(pipeline(**arguments).outputs)


class Stages:
    """Runs stages, one at a time, and knows whether the run was told to stop.

    Each is a process group of its own: Ctrl-C, which reaches all of a terminal's group, comes to it from here, once.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = False

    def run(self, command: list[str], environment: Mapping[str, str], log: BinaryIO) -> int:
        """Run one stage and show what it says, to its end; returns its exit code.

        Raises:
            RuntimeError: the run was told to stop, and no stage begins any more.
        """
        if self._stopping:
            raise RuntimeError("the run was stopped")
        process = subprocess.Popen(
            command,
            env={**os.environ, **with_this_parent(), **environment},
            stdout=log,
            stderr=subprocess.PIPE,
            process_group=0,
        )
        self._process, is_over = process, False
        said = iter(cast("io.BufferedReader", process.stderr).read1, b"")
        try:
            copy_output(said, log)
            is_over = True
        finally:
            if not (is_over or self._stopping):  # It must not go on alone.
                process.terminate()
            copy_output(said, log)
            code = process.wait()
        return code

    def stop(self, number: signal.Signals) -> None:
        """Pass the signal on to the stage that is at work, and let none begin."""
        self._stopping = True
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)


class StageProcess(task_handler_interface.ITaskHandler):
    """Runs the `storm` command of one container component with this interpreter; the image is ignored."""

    def __init__(
        self,
        image: str,
        full_command: list[str],
        pipeline_root: str,
        runner: config.SubprocessRunner,
        env_vars: dict[str, str] | None = None,
        *,
        stages: Stages,
    ) -> None:
        self.stages = stages
        self.arguments = full_command[1:]
        self.environment = env_vars or {}

    def command(self) -> list[str]:
        """The program and its arguments."""
        return [sys.executable, "-m", "storm_core.cli", *self.arguments]

    def run(self) -> status.Status:
        """Run the command; its standard error goes to the terminal and to a log file of its own."""
        name = self.environment.get(TASK_NAME_VARIABLE, self.arguments[0])
        log_path = Path(os.environ[LOG_DIRECTORY_VARIABLE]) / f"{name}.log"
        with _ONE_AT_A_TIME, log_path.open("ab") as log:
            code = self.stages.run(self.command(), {**_terminal(), **self.environment}, log)
        return status.Status.SUCCESS if code == 0 else status.Status.FAILURE


def _terminal() -> dict[str, str]:
    """Settings that let a stage, whose standard error is a pipe, draw progress bars on our terminal."""
    if not sys.__stderr__ or not sys.__stderr__.isatty():
        return {}
    return {BAR_VARIABLE: "bar", "COLUMNS": str(shutil.get_terminal_size().columns)}


def copy_output(blocks: Iterable[bytes], log: BinaryIO) -> None:
    """Copy what a task writes to our terminal as it comes, so that bars move, and its whole lines to the log.

    Where one of them takes nothing any more, the task goes on all the same.
    """
    assert sys.__stderr__ is not None  # noqa: S101 (a command line has it)
    text = io.TextIOWrapper(log, encoding="utf-8")
    lines, decoder = LineStream(cast("TextIO", LossyStream(text))), codecs.getincrementaldecoder("utf-8")("replace")
    try:
        for block in blocks:
            lines.write(decoder.decode(block))
            with contextlib.suppress(OSError):
                sys.__stderr__.buffer.write(block)
                sys.__stderr__.flush()
    finally:
        lines.finish()
        with contextlib.suppress(OSError):
            text.detach()  # Else it would close the log.


@contextlib.contextmanager
def tasks_run_by(
    handler: Callable[..., task_handler_interface.ITaskHandler],
    module: ModuleType = subprocess_task_handler,
    replaced: str = "SubprocessTaskHandler",
) -> Iterator[None]:
    """Have kfp.local run each task by this handler in place of its own, that of the `SubprocessRunner` or another."""
    # kfp.local chooses the handler by the runner's exact type, and permits only its own runner types.
    original = getattr(module, replaced)
    setattr(module, replaced, handler)
    try:
        yield
    finally:
        setattr(module, replaced, original)


@contextlib.contextmanager
def quiet_kfp() -> Iterator[None]:
    """Keep KFP's own account of the run out of sight: the stages say one line each."""
    logging.disable(logging.INFO)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
