"""One task of the finished run once more, in pods of its own: with other options, secrets, limits or servers."""

import base64
import io
import json
import secrets
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tests.integration import kfp_pod
from tests.integration.cluster import Cluster
from tests.integration.launcher import MARK
from tests.integration.pods import Ended, Walk

STORE_VARIABLE = "STORM_STORE"
# Several attempts wait side by side, and two processors must do. The limit stays, and with it the number of threads.
_SMALL_REQUEST = {"resourceCpuRequest": "200m"}


@dataclass(frozen=True, kw_only=True)
class Replay:
    """A task of a run to be tried again, in as many pods as it takes.

    Attributes:
        store: where it publishes; what it reads are the outputs of the finished run.
        options: what is added to its command.
        environment: variables beside or in the place of those of the compiled pipeline.
        secrets: the secret to take in the place of one that the pipeline names.
        resources: fields of KFP's ResourceSpec beside or in the place of those compiled.
        image: in the place of the task's.
        change: the pod to make, of the one that KFP would make.
    """

    walk: Walk
    task: str
    store: str
    options: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    resources: Mapping[str, str] = field(default_factory=dict)
    image: str = ""
    change: Callable[[dict[str, Any]], dict[str, Any]] = lambda pod: pod

    def start(self) -> str:
        """A new pod of the task; its name."""
        ended = self._ended()
        name = f"{self.task}-{secrets.token_hex(3)}"
        self.cluster.add_files(name, ended.files)
        command = [*ended.command, *self.options]
        self.cluster.add_pod(self.change(self.walk.pod(name, self._executor(), command)))
        return name

    def run(self) -> dict[str, Any]:
        """What a pod of the task told KFP of its outputs."""
        return self.outputs(self.start())

    def outputs(self, pod: str) -> dict[str, Any]:
        """Wait for the pod to end well; the metadata of its output artifacts, by their names."""
        assert self.cluster.wait_until_over(pod), self.log(pod)
        lines = self.cluster.log(pod).splitlines()
        packed = base64.b64decode("".join(line.removeprefix(MARK) for line in lines if line.startswith(MARK)))
        path = self._ended().executor_input["outputs"]["outputFile"]
        with tarfile.open(fileobj=io.BytesIO(packed)) as outputs:
            (member,) = (one for one in outputs.getmembers() if path.endswith(one.name.rpartition("/")[2]))
            file = outputs.extractfile(member)
            assert file
            told = json.load(file)["artifacts"]
        return {name: artifacts["artifacts"][0]["metadata"] for name, artifacts in told.items()}

    def error(self, pod: str) -> str:
        """Wait for the pod to fail, without a traceback; its last line."""
        assert not self.cluster.wait_until_over(pod)
        log = self.log(pod)
        assert "Traceback" not in log
        return log.splitlines()[-1]

    def log(self, pod: str) -> str:
        """What the stage wrote, without what it hands to KFP."""
        return "\n".join(line for line in self.cluster.log(pod).splitlines() if not line.startswith(MARK))

    @property
    def cluster(self) -> Cluster:
        """Where the pods run."""
        return self.walk.cluster

    def _ended(self) -> Ended:
        return next(ended for ended in self.walk.ended if ended.task == self.task)

    def _executor(self) -> kfp_pod.Executor:
        compiled = self.walk.executors[self.task]
        given = {**self.environment, STORE_VARIABLE: self.store}
        kept = [variable for variable in compiled.container["env"] if variable["name"] not in given]
        container = {
            **compiled.container,
            "image": self.image or compiled.container["image"],
            "env": [*kept, *({"name": name, "value": value} for name, value in given.items())],
            "resources": {**compiled.container.get("resources", {}), **_SMALL_REQUEST, **self.resources},
        }
        text = json.dumps(compiled.kubernetes)
        for name, other in self.secrets.items():
            text = text.replace(json.dumps(name), json.dumps(other))
        return replace(compiled, container=container, kubernetes=json.loads(text))
