# ruff: noqa: T201 (answers of programs)
"""kind, kubectl, docker, git, make and df as far as `manifests/kind/` asks them, each call noted, what is made kept.

Started under the name of the program that it stands in for; STAND_IN_STATE names the directory that it keeps.
"""

import contextlib
import itertools
import json
import os
import re
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

STATE = Path(os.environ["STAND_IN_STATE"])
# The least that a step needs done before, by what it applies.
BEFORE = {
    "kind/kfp/servers": "kind/kfp/cluster-scoped",
    "kind/trainer/runtimes": "kind/trainer/manager",
    "overlays/kind": "kind/kfp/servers",
}


def main() -> None:
    program, arguments = Path(sys.argv[0]).name, sys.argv[1:]
    line = " ".join([program, *arguments])
    with (STATE / "calls").open("a", encoding="utf-8") as calls:
        calls.write(line.replace("\n", " ") + "\n")
    failing = read("failing", "")
    if failing and failing in re.sub(r" --kubeconfig \S+", "", line) + " ":
        stop(f"{program}: this was to fail")
    PROGRAMS[program](arguments)


def read(name: str, default: Any) -> Any:
    path = STATE / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else default


def write(name: str, value: Any) -> None:
    (STATE / f"{name}.json").write_text(json.dumps(value), encoding="utf-8")


def stop(message: str) -> NoReturn:
    sys.exit(message)


def after(arguments: list[str], flag: str) -> str:
    return arguments[arguments.index(flag) + 1]


def kind(arguments: list[str]) -> None:
    clusters = read("clusters", {})
    what = arguments[:2]
    name = after(arguments, "--name") if "--name" in arguments else ""
    if what == ["get", "clusters"]:
        print(*clusters, sep="\n")
    elif what == ["create", "cluster"]:
        if name in clusters:
            stop(f'ERROR: node(s) already exist for a cluster with the name "{name}"')
        write("clusters", {**clusters, name: after(arguments, "--image")})
        Path(after(arguments, "--kubeconfig")).touch()
    elif what == ["export", "kubeconfig"]:
        Path(after(arguments, "--kubeconfig")).touch()
    elif what == ["delete", "cluster"]:
        write("clusters", {one: image for one, image in clusters.items() if one != name})
        write("applied", [])
    elif what == ["load", "docker-image"]:
        missing = [image for image in arguments[4:] if image.partition(":")[0] not in read("images", [])]
        if missing:
            stop(f"ERROR: image: {missing[0]!r} not present locally")
    elif what == ["load", "image-archive"]:
        write("archive", Path(arguments[2]).read_text(encoding="utf-8"))


def docker(arguments: list[str]) -> None:
    if arguments[0] == "info":
        print(read("docker", "8 20000000000 /var/lib/docker"))
    elif arguments[0] == "inspect":
        print(read("clusters", {})[arguments[-1].removesuffix("-control-plane")])


def make(arguments: list[str]) -> None:
    write("images", ["storm-core", "storm-training", "storm-servers"])


def git(arguments: list[str]) -> None:
    if not read("internet", True):
        stop("fatal: unable to access 'https://github.com/kubeflow/pipelines/': Could not resolve host: github.com")


def df(arguments: list[str]) -> None:
    print(f"Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/sda 1 1 {read('free', 50_000_000)} 1% /")


def kubectl(arguments: list[str]) -> None:
    kubeconfig = after(arguments, "--kubeconfig")
    if not Path(kubeconfig).exists():
        stop(f"error: stat {kubeconfig}: no such file or directory")
    if "port-forward" in arguments:
        forward(arguments[-2].removeprefix("service/"), int(arguments[-1].partition(":")[0]))
    elif "--kustomize" in arguments:
        apply(after(arguments, "--kustomize"))
    elif "apply" in arguments:
        write("secret", dict(line.split("=", 1) for line in sys.stdin.read().splitlines()))
    elif "create" in arguments:
        print(Path(after(arguments, "--from-env-file")).read_text(encoding="utf-8").strip())
    elif "get" in arguments and "secret" in arguments:
        print(secret(after(arguments, "--output").removeprefix("go-template=")), end="")


def apply(directory: str) -> None:
    applied = read("applied", [])
    before = next((needed for ending, needed in BEFORE.items() if directory.endswith(ending)), None)
    if before and not any(one.endswith(before) for one in applied):
        stop(f"error: no matches for kind: {before} was not applied before {directory}")
    if not (Path(directory) / "kustomization.yaml").exists():
        stop(f"error: no kustomization in {directory}")
    write("applied", [*applied, directory])


def secret(template: str) -> str:
    """KFP's own secret, shown by the template."""
    if not any(one.endswith("kfp/servers") for one in read("applied", [])):
        stop('Error from server (NotFound): secrets "mlpipeline-minio-artifact" not found')
    shown = template.replace('{{"\\n"}}', "\n")
    for name, value in read("keys", {"accesskey": "kfp-user", "secretkey": "hidden=="}).items():
        shown = shown.replace(f"{{{{.data.{name} | base64decode}}}}", value)
    return shown


def forward(service: str, port: int) -> None:
    """Pass what comes at the port on to what stands in for the service; end after `lives` connections, if set."""
    to, lives = read("services", {})[service], read("lives", 0)
    with socket.create_server(("127.0.0.1", port)) as listening:
        for number in itertools.count(1):
            connection, _ = listening.accept()
            target = socket.create_connection(to)
            pumps = [
                threading.Thread(target=pump, args=pair, daemon=True)
                for pair in ((connection, target), (target, connection))
            ]
            for one in pumps:
                one.start()
            if number == lives:
                return


def pump(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := one.recv(65536):
            other.sendall(data)
        other.shutdown(socket.SHUT_WR)


PROGRAMS: dict[str, Callable[[list[str]], None]] = {
    "kind": kind,
    "kubectl": kubectl,
    "docker": docker,
    "make": make,
    "git": git,
    "df": df,
}

if __name__ == "__main__":
    main()
