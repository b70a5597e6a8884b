"""A pod's port at an address of this machine, for as long as it is needed: kubectl ends with the API server."""

import contextlib
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

_WAIT_SECONDS = 60.0
_SECONDS_BETWEEN_STARTS = 1.0
_Process: TypeAlias = "subprocess.Popen[bytes]"


@contextlib.contextmanager
def forwarded(namespace: str, pod: str, port: int) -> Iterator[str]:
    """The pod's port as `host:port`. Where kubectl ends meanwhile, it is started again for the same address."""
    command = ["kubectl", "--namespace", namespace, "port-forward", f"pod/{pod}"]
    # To a file: kubectl writes a line for each connection, and would stop at a pipe that nobody reads.
    with tempfile.NamedTemporaryFile("a+") as said:
        start = partial(_start, command, said)
        process, over = start(f":{port}"), threading.Event()
        address = _address(Path(said.name), process)
        again = partial(start, f"{address.rpartition(':')[2]}:{port}")
        keeping = threading.Thread(target=_keep, args=(process, again, over), daemon=True)
        keeping.start()
        try:
            yield address
        finally:
            over.set()
            keeping.join()


def _start(command: list[str], log: Any, ports: str) -> _Process:
    return subprocess.Popen([*command, ports], stdout=log, stderr=log)


def _keep(process: _Process, again: Callable[[], _Process], over: threading.Event) -> None:
    """Start kubectl again whenever it ended, until it is over."""
    while not over.wait(_SECONDS_BETWEEN_STARTS):
        if process.poll() is not None:
            process = again()
    process.terminate()
    process.wait()


def _address(said: Path, process: _Process) -> str:
    """The address that kubectl says it forwards from."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if found := re.search(r"127\.0\.0\.1:\d+", said.read_text(encoding="utf-8")):
            return found[0]
        time.sleep(0.1)
    process.kill()
    process.wait()
    raise AssertionError(f"kubectl forwards nothing: {said.read_text(encoding='utf-8')}")
