"""The built images, each run the way a strict cluster runs it. Needs Docker and `make images`; nothing is skipped."""

import json
import os
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from components import images
from storm_core import __version__
from storm_core.cli import main as storm
from storm_core.code_identity import code_identity
from storm_core.manifest import read_manifest
from storm_core.stages import load_stage

pytestmark = pytest.mark.docker

ROOT = Path(__file__).parents[2]
DOCKER = os.environ.get("DOCKER", "docker")
BUILT = os.environ.get("STORM_IMAGES", f"{images.CORE} {images.TRAINING}").split()
# Megabytes; what an image may grow to before somebody has to say why.
LIMITS = {images.CORE: 1350, images.TRAINING: 1850, images.VLLM: 2800}
# What a cluster with the strictest pod security gives a container.
STRICT = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--network", "none"]
# What the image says of itself, and `images/health.py` checks.
CHECKED = ("verbs", "unmet", "without", "modules")
SHELLS = ("/bin/sh", "/bin/dash", "/bin/bash", "/bin/ash", "/bin/busybox")
IDENTITIES = """
import json
from storm_core.code_identity import code_identity
from storm_core.stages import STAGES, load_stage
print(json.dumps({verb: code_identity(load_stage(verb)) for verb in STAGES}))
"""
COMPILERS = ("cc", "gcc", "c++", "g++", "clang", "cpp", "as", "ld", "make", "cargo", "rustc", "go", "nvcc")


def docker(*arguments: str) -> str:
    finished = subprocess.run([DOCKER, *arguments], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, f"docker {' '.join(arguments)}\n{finished.stderr}\n{finished.stdout}"
    return finished.stdout


def run(image: str, *command: str, options: tuple[str, ...] = ()) -> str:
    """Standard output of a command in a container with a random user, and nothing that it could do without."""
    user = random.randrange(100_000, 2**31)  # noqa: S311 (not for secrecy)
    return docker("run", "--rm", *STRICT, "--user", f"{user}:{user}", *options, image, *command)


def python(image: str, code: str) -> Any:
    """What `code` prints as JSON."""
    return json.loads(run(image, "/opt/storm/bin/python", "-c", code))


def configuration(image: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(docker("image", "inspect", image))[0]
    return found


def shells(image: str) -> list[str]:
    """The shells there are, by the files that they really are."""
    code = f"import json, os; print(json.dumps([os.path.realpath(p) for p in {SHELLS!r} if os.path.exists(p)]))"
    return sorted(set(python(image, code)))


@pytest.mark.parametrize("image", BUILT)
def test_every_verb_starts_and_has_what_it_imports_without_shell_home_network_or_rights(image: str) -> None:
    labels = configuration(image)["Config"]["Labels"]
    hidden = [part for shell in shells(image) for part in ("--volume", f"/dev/null:{shell}:ro")]
    assert hidden
    checks = ROOT / "images" / "health.py"
    expected = [part for name in CHECKED for part in (f"--{name}", labels[f"io.storm.{name}"])]
    options = ("--volume", f"{checks}:/health.py:ro", *hidden)
    run(image, "/opt/storm/bin/python", "/health.py", *expected, options=options)


@pytest.mark.parametrize("image", BUILT)
def test_command_of_a_component_is_on_the_path_and_nothing_stands_before_it(image: str) -> None:
    assert not configuration(image)["Config"]["Entrypoint"]
    assert run(image, "storm", "--version").strip() == f"storm {__version__}"
    assert "usage: storm" in run(image)


@pytest.mark.parametrize("image", BUILT)
def test_image_says_what_it_is_and_names_no_root(image: str) -> None:
    config = configuration(image)["Config"]
    user, _, group = config["User"].partition(":")
    assert int(user) > 0
    assert int(group) > 0
    labels = config["Labels"]
    assert labels["org.opencontainers.image.title"] == image.partition(":")[0]
    assert labels["org.opencontainers.image.version"] == __version__
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert set(config["Volumes"]) == {"/tmp"}  # noqa: S108 (the volume's name)


@pytest.mark.parametrize("image", BUILT)
def test_bill_of_materials_lists_every_package_of_python_and_debian(image: str) -> None:
    bill = json.loads(run(image, "/opt/storm/bin/python", "-c", "print(open('/usr/share/sbom/storm.cdx.json').read())"))
    assert bill["bomFormat"] == "CycloneDX"
    listed = {(part["name"].lower().replace("_", "-"), part["version"]) for part in bill["components"]}
    code = "import json, importlib.metadata as m; print(json.dumps([(d.name, d.version) for d in m.distributions()]))"
    installed = {(name.lower().replace("_", "-").replace(".", "-"), version) for name, version in python(image, code)}
    assert ("storm-kubeflow", __version__) in installed
    assert {name for name, _ in installed} <= {name.replace(".", "-") for name, _ in listed}
    assert any(str(part.get("purl")).startswith("pkg:deb/debian/libc6@") for part in bill["components"])


@pytest.mark.parametrize("image", BUILT)
def test_no_compiler_no_pip_cache_and_nothing_of_the_build_is_left(image: str) -> None:
    code = f"import json, shutil; print(json.dumps([shutil.which(c) for c in {COMPILERS!r} if shutil.which(c)]))"
    assert python(image, code) == []
    paths = ["/root/.cache", "/tmp/.cache", "/etc/pip.conf", "/mnt/wheels", "/mnt/tools", "/srv/health.py"]  # noqa: S108
    code = f"import json, os; print(json.dumps([p for p in {paths!r} if os.path.exists(p)] + os.listdir('/tmp')))"
    assert python(image, code) == []


@pytest.mark.parametrize("image", BUILT)
def test_only_the_declared_volume_can_be_written(image: str) -> None:
    code = """
import json, os
found = [top for top, _, _ in os.walk("/", followlinks=False)
         if os.access(top, os.W_OK) and not top.startswith(("/tmp", "/proc", "/dev"))]
print(json.dumps(found))
"""
    assert python(image, code) == []


@pytest.mark.parametrize("image", BUILT)
def test_image_stays_within_its_size(image: str) -> None:
    assert configuration(image)["Size"] / 1e6 < LIMITS[image]


@pytest.mark.parametrize("image", BUILT)
def test_results_of_the_image_are_found_here_and_the_other_way_round(image: str) -> None:
    """Code and packages of its verbs are those of here; vLLM's image has other packages."""
    verbs = configuration(image)["Config"]["Labels"]["io.storm.verbs"].split(",")
    there = python(image, IDENTITIES)
    for verb in verbs:
        here = code_identity(load_stage(verb))
        assert there[verb]["code"] == here["code"], f"{image} holds other code; run make images"
        if image != images.VLLM:
            assert there[verb]["packages"] == here["packages"], f"{image} holds other packages; run make images"


def test_merge_in_a_container_gives_the_artifact_that_it_gives_here(
    tmp_path: Path, tiny_llama: Path, other_tiny_llama: Path
) -> None:
    base, other = readable(tiny_llama, tmp_path / "base"), readable(other_tiny_llama, tmp_path / "other")
    arguments = ["merge", "--base-model", str(base), "--other-model", str(other), "--merged-model"]
    assert storm([*arguments, str(tmp_path / "here")]) == 0
    outside = tmp_path / "outside"
    outside.mkdir()
    outside.chmod(0o777)
    mounts = [f"{base}:{base}:ro", f"{other}:{other}:ro", f"{outside}:{outside}"]
    options = tuple(part for mount in mounts for part in ("--volume", mount))
    run(images.CORE, "storm", *arguments, str(outside / "there"), options=options)
    here, there = (read_manifest(path / "manifest.json") for path in (tmp_path / "here", outside / "there"))
    assert there.digest == here.digest


def readable(directory: Path, copy: Path) -> Path:
    """A copy that any user may read; pytest's directories are private, and so are the files that safetensors writes."""
    shutil.copytree(directory, copy)
    copy.chmod(0o755)
    for file in copy.iterdir():
        file.chmod(0o644)
    return copy
