"""The engine of the tests: kfp.local walks the compiled pipeline, and each task is a pod in KFP's shape."""

import base64
import io
import json
import re
import secrets
import tarfile
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from kfp import components, local
from kfp.local import config, status, task_handler_interface
from kubernetes import client

from pipelines.local import quiet_kfp, tasks_run_by
from storm_core.log_lines import TASK_NAME_VARIABLE
from tests.integration import kfp_pod
from tests.integration.cluster import Cluster
from tests.integration.launcher import MARK

LAUNCHER = Path(__file__).with_name("launcher.py")
EXECUTOR_INPUT = "--executor-input"


@dataclass(frozen=True)
class Ended:
    """A task that ran: its pod, and what it told KFP of its outputs.

    Attributes:
        command: the component's command as the pod had it.
        files: what the pod started from, as `Cluster.add_files` takes it.
    """

    task: str
    pod: str
    executor_input: dict[str, Any]
    executor_output: dict[str, Any]
    command: list[str]
    files: dict[str, str]


@dataclass(kw_only=True)
class Walk:
    """A run of a compiled pipeline on a cluster.

    Attributes:
        executors: by the name of the task.
        ended: the tasks that ran, in their order.
        logs: directory with the log of each pod.
        failures: why a task did not end well, the first one first.
        run_id: of the KFP run, which is a label of its pods.
        between: called with the name of each task that ended, before the next one starts.
    """

    cluster: Cluster
    executors: dict[str, kfp_pod.Executor]
    service_account: str
    logs: Path
    ended: list[Ended] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    run_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    between: Callable[[str], None] = lambda _task: None

    def pod(self, name: str, executor: kfp_pod.Executor, command: list[str]) -> dict[str, Any]:
        """The pod that KFP would make of a task of this run."""
        return kfp_pod.pod(name, executor, command, service_account=self.service_account, run_id=self.run_id)


def run_compiled(compiled: Path, walk: Walk, root: Path) -> dict[str, Any]:
    """Run every task of the compiled pipeline in a pod; its outputs, with what passes between tasks below `root`."""
    pipeline = components.load_component_from_file(str(compiled))
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(root), raise_on_error=True)
    try:
        with tasks_run_by(partial(StagePod, walk=walk)), quiet_kfp():
            return dict(pipeline().outputs)
    except RuntimeError as error:
        raise AssertionError("\n\n".join([str(error), *walk.failures])) from error


class StagePod(task_handler_interface.ITaskHandler):
    """Runs one task in a pod. Its paths are KFP's there, and below the pipeline root here."""

    def __init__(
        self,
        image: str,
        full_command: list[str],
        pipeline_root: str,
        runner: config.SubprocessRunner,
        env_vars: dict[str, str],
        *,
        walk: Walk,
    ) -> None:
        self.walk = walk
        self.root = pipeline_root
        self.task = env_vars[TASK_NAME_VARIABLE]
        place = full_command.index(EXECUTOR_INPUT) + 1
        self.local_input = json.loads(full_command[place])
        self.command = [self._there(argument) for argument in full_command]
        self.command[place] = kfp_pod.with_logs_output(self._there(full_command[place], uris=True))

    def run(self) -> status.Status:
        """Run the pod; its log goes to a file, its outputs to where kfp.local looks for them."""
        name = f"{self.task}-{secrets.token_hex(3)}"
        try:
            self._run_pod(name)
        except (AssertionError, client.ApiException) as reason:  # kfp.local would keep it to itself.
            self.walk.failures.append(f"{name}: {reason}")
            return status.Status.FAILURE
        return status.Status.SUCCESS

    def _run_pod(self, name: str) -> None:
        cluster, executor = self.walk.cluster, self.walk.executors[self.task]
        files = self._files()
        cluster.add_files(name, files)
        cluster.add_pod(self.walk.pod(name, executor, self.command))
        ended_well = cluster.wait_until_over(name)
        lines = cluster.log(name).splitlines()
        said = [line for line in lines if not line.startswith(MARK)]
        (self.walk.logs / f"{name}.log").write_text("\n".join(said) + "\n", encoding="utf-8")
        assert ended_well, "\n".join(["the stage failed", *said[-30:]])
        self._unpack("".join(line.removeprefix(MARK) for line in lines if line.startswith(MARK)))
        output = json.loads(Path(self.local_input["outputs"]["outputFile"]).read_text(encoding="utf-8"))
        self.walk.ended.append(Ended(self.task, name, self.local_input, output, self.command, files))
        self.walk.between(self.task)

    def _there(self, text: str, *, uris: bool = False) -> str:
        """The text with this machine's paths as the pod has them; those in an ExecutorInput's `uri` are URIs there."""
        if uris:
            text = re.sub(rf'("uri":\s*"){re.escape(self.root)}', rf"\1{kfp_pod.ARTIFACTS_URI}", text)
        return text.replace(self.root, kfp_pod.ARTIFACTS)

    def _here(self, text: str) -> str:
        return text.replace(kfp_pod.ARTIFACTS_URI, self.root).replace(kfp_pod.ARTIFACTS, self.root)

    def _files(self) -> dict[str, str]:
        """The config map: the launcher, the input artifacts' files, and the paths of the outputs."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as inputs:
            for listed in self.local_input.get("inputs", {}).get("artifacts", {}).values():
                path = listed["artifacts"][0]["uri"]
                inputs.add(path, arcname=self._there(path))
        outputs = self.local_input["outputs"]
        paths = [listed["artifacts"][0]["uri"] for listed in outputs.get("artifacts", {}).values()]
        paths += [parameter["outputFile"] for parameter in outputs.get("parameters", {}).values()]
        paths.append(outputs["outputFile"])
        files = {
            "launcher.py": LAUNCHER.read_bytes(),
            "inputs.tar.gz": packed.getvalue(),
            "outputs.json": json.dumps([self._there(path) for path in paths]).encode(),
        }
        return {name: base64.b64encode(content).decode() for name, content in files.items()}

    def _unpack(self, text: str) -> None:
        with tarfile.open(fileobj=io.BytesIO(base64.b64decode(text))) as outputs:
            for member in outputs.getmembers():
                file = outputs.extractfile(member) if member.isfile() else None
                if file:
                    path = Path(self._here(f"/{member.name}"))
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(file.read())
        output = Path(self.local_input["outputs"]["outputFile"])
        output.write_text(self._here(output.read_text(encoding="utf-8")), encoding="utf-8")
