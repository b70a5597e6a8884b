"""Build the images of `docker-bake.json`: `build.py [--push] [--metadata FILE] [TARGET ...]`, then print their sizes.

With buildx, `docker buildx bake` does it all. A Docker without it still has BuildKit: then each target is one
`docker build` with the very arguments of the bake file. Variables of that file are taken from the environment.

A network that needs its own certificates or its own pip configuration names the files in `CA_BUNDLE` and `PIP_CONF`;
the build sees them as secrets and no layer holds them. `BUILD_NETWORK=host` builds in the machine's own network.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
BAKE_FILE = ROOT / "images" / "docker-bake.json"
# Secret of the Dockerfile to the variable that names its file.
SECRETS = {"ca_bundle": "CA_BUNDLE", "pip_conf": "PIP_CONF"}


def main() -> int:
    """Build; returns the exit code of the first build that failed, else 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", default=["default"], help="targets or groups of the bake file")
    parser.add_argument("--docker", default="docker", help="the client to use (default: docker)")
    parser.add_argument("--metadata", type=Path, help="JSON file for the digests, as `docker buildx bake` writes it")
    parser.add_argument("--push", action="store_true", help="push to REGISTRY, which gives the digests")
    arguments = parser.parse_args()
    bake = json.loads(BAKE_FILE.read_text(encoding="utf-8"))
    names = targets_of(bake, arguments.targets)
    started = time.monotonic()
    if has_buildx(arguments.docker):
        failed = run(bake_command(arguments.docker, names, metadata=arguments.metadata, push=arguments.push))
    elif not has_buildkit(arguments.docker):
        sys.exit(f"{arguments.docker} has no BuildKit: install its buildx plugin, or name another client with --docker")
    else:
        failed = build_plainly(arguments.docker, bake, names, metadata=arguments.metadata, push=arguments.push)
    if failed:
        return failed
    tags = [tag for name in names for tag in resolve(bake, name, os.environ)["tags"]]
    print(f"\n{table(arguments.docker, tags)}\n\nbuilt in {time.monotonic() - started:.0f} s")
    return 0


def targets_of(bake: Mapping[str, Any], names: list[str]) -> list[str]:
    """The targets that `names` stand for, groups replaced by their members, each once."""
    found: list[str] = []
    for name in names:
        members = bake["group"][name]["targets"] if name in bake["group"] else [name]
        unknown = [member for member in members if member not in bake["target"]]
        if unknown:
            sys.exit(f"no target or group {unknown[0]!r} in {BAKE_FILE.name}; there are {', '.join(bake['target'])}")
        found += [member for member in members if member not in found]
    return found


def resolve(bake: Mapping[str, Any], name: str, environment: Mapping[str, str]) -> dict[str, Any]:
    """One target with what it inherits, and its `${VARIABLES}` replaced as bake replaces them."""
    target = bake["target"][name]
    resolved: dict[str, Any] = {"args": {}}
    for parent in target.get("inherits", []):
        resolved = resolve(bake, parent, environment)
    merged = {**resolved, **target, "args": {**resolved["args"], **target.get("args", {})}}
    values = {key: environment.get(key, variable["default"]) for key, variable in bake["variable"].items()}
    text = re.sub(r"\$\{(\w+)\}", lambda found: json.dumps(values[found[1]])[1:-1], json.dumps(merged))
    replaced: dict[str, Any] = json.loads(text)
    return replaced


def has_buildx(docker: str) -> bool:
    """Whether this client has the buildx plugin."""
    return subprocess.run([docker, "buildx", "version"], capture_output=True, check=False).returncode == 0


def has_buildkit(docker: str) -> bool:
    """Whether `docker build` of this client builds with BuildKit, as clients before 23 do by themselves."""
    environment = {**os.environ, "DOCKER_BUILDKIT": "1"}
    shown = subprocess.run([docker, "build", "--help"], env=environment, capture_output=True, text=True, check=False)
    return "--secret" in shown.stdout


def bake_command(docker: str, names: list[str], *, metadata: Path | None, push: bool) -> list[str]:
    """The `docker buildx bake` command for the targets."""
    command = [docker, "buildx", "bake", "--file", str(BAKE_FILE), "--load", *(["--push"] if push else [])]
    command += ["--metadata-file", str(metadata)] if metadata else []
    for name in names:
        command += [part for secret in secrets() for part in ("--set", f"{name}.secrets+={secret}")]
        if network := os.environ.get("BUILD_NETWORK"):
            command += ["--set", f"{name}.network={network}"]
    return [*command, *names]


def build_plainly(docker: str, bake: Mapping[str, Any], names: list[str], *, metadata: Path | None, push: bool) -> int:
    """Build the targets one after the other with `docker build`; returns the first exit code that is not 0."""
    digests = {}
    for name in names:
        target = resolve(bake, name, os.environ)
        if failed := run(build_command(docker, target)):
            return failed
        if push and (failed := run([docker, "push", target["tags"][0]])):
            return failed
        digests[name] = {"image.name": target["tags"][0], **digests_of(docker, target["tags"][0])}
    if metadata:
        metadata.write_text(json.dumps(digests, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return 0


def build_command(docker: str, target: Mapping[str, Any]) -> list[str]:
    """The `docker build` command for one resolved target."""
    command = [docker, "build", "--file", target["dockerfile"], "--target", target["target"], "--progress", "plain"]
    for name, value in target["args"].items():
        command += ["--build-arg", f"{name}={value}"]
    for tag in target["tags"]:
        command += ["--tag", tag]
    for secret in secrets():
        command += ["--secret", secret]
    if network := os.environ.get("BUILD_NETWORK"):
        command += ["--network", network]
    return [*command, target["context"]]


def secrets() -> Iterator[str]:
    """The secrets that the environment names files for."""
    for name, variable in SECRETS.items():
        if path := os.environ.get(variable):
            yield f"id={name},src={path}"


def digests_of(docker: str, tag: str) -> dict[str, str]:
    """The image's own digest, and the registry's once it was pushed."""
    (image,) = inspect(docker, [tag])
    digests = {"containerimage.config.digest": image["Id"]}
    if pushed := image["RepoDigests"]:
        digests["containerimage.digest"] = pushed[0].partition("@")[2]
    return digests


def table(docker: str, tags: list[str]) -> str:
    """Markdown table of the images: its size, and how much of it is in no image above it."""
    lines = ["| image | MB | of them new |", "|---|---|---|"]
    above: list[list[tuple[int, str]]] = []
    for tag in tags:
        layers = history(docker, tag)
        shared = max((shared_steps(layers, other) for other in above), default=0)
        above.append(layers)
        lines.append(f"| {tag} | {megabytes(layers)} | {megabytes(layers[shared:])} |")
    return "\n".join(lines)


def shared_steps(layers: list[tuple[int, str]], other: list[tuple[int, str]]) -> int:
    """How many steps, from the first on, two images have in common."""
    pairs = enumerate(zip(layers, other, strict=False))
    return next((step for step, (one, another) in pairs if one != another), min(len(layers), len(other)))


def megabytes(layers: list[tuple[int, str]]) -> str:
    """The sum of the layers' sizes in 10^6 bytes."""
    return f"{sum(size for size, _ in layers) / 1e6:.0f}"


def history(docker: str, tag: str) -> list[tuple[int, str]]:
    """Bytes and instruction of each step of the image, the first one first."""
    command = [docker, "history", "--no-trunc", "--human=false", "--format", "{{.Size}} {{.CreatedBy}}", tag]
    steps = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    parted = [step.partition(" ") for step in reversed(steps)]
    return [(int(size), instruction) for size, _, instruction in parted]


def inspect(docker: str, tags: list[str]) -> list[dict[str, Any]]:
    """What `docker image inspect` says of the images."""
    found = subprocess.run([docker, "image", "inspect", *tags], check=True, stdout=subprocess.PIPE, text=True)
    images: list[dict[str, Any]] = json.loads(found.stdout)
    return images


def run(command: list[str]) -> int:
    """Run in the repository's root with BuildKit; returns the exit code."""
    print("+", " ".join(command), flush=True)
    return subprocess.run(command, cwd=ROOT, env={**os.environ, "DOCKER_BUILDKIT": "1"}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
