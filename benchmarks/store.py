"""The artifact store on S3 beside two plain ways: MB/s and peak memory, to a bucket and back, every byte hashed.

    python benchmarks/store.py --peer-python .venv-peers/bin/python [--smoke]

A SeaweedFS server is started for it, on this machine, so client and server share the cores. The contenders take turns.
- storm: `storm artifact push` and `storm artifact pull`; both verify every file.
- one stream: one file after another, as KFP's launcher copies; hashed as well. `benchmarks/one_stream.py`.
- aws s3 cp: `aws s3 cp --recursive` and `sha256sum`; `benchmarks/requirements-peers.txt` has the AWS CLI.
"""

import argparse
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import boto3

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from pipelines.s3_server import S3Server  # noqa: E402 (found only with the root on the path)

BUCKET = "benchmark"
FILES = 16
FULL_MB, SMOKE_MB = 2000, 64
BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class Contender:
    """Commands that copy the directory to a prefix, and back into a new directory; each list runs in turn."""

    name: str
    upload: Callable[[Path, str], list[list[str]]]
    download: Callable[[str, Path], list[list[str]]]


def main() -> None:
    options = parse_options()
    megabytes = SMOKE_MB if options.smoke else FULL_MB
    with tempfile.TemporaryDirectory(dir=options.directory) as scratch:
        work = Path(scratch)
        make_files(work / "source", megabytes)
        with S3Server(work / "server") as server:
            os.environ.update(server.environment(), STORM_CACHE=str(work / "cache"), STORM_CACHE_GB="1000")
            os.environ["AWS_ENDPOINT_URL"] = server.endpoint
            boto3.client("s3").create_bucket(Bucket=BUCKET)
            results = measure(contenders(options.peer_python), work, 1 if options.smoke else options.repeats)
    print_table(results, megabytes)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure the artifact store beside `aws s3 cp` and one stream.")
    parser.add_argument("--peer-python", type=Path, required=True, help="Python of an environment with awscli")
    parser.add_argument("--repeats", type=int, default=3, help="rounds of all contenders (default 3)")
    parser.add_argument("--directory", type=Path, help="where files and server live (default: the temporary directory)")
    parser.add_argument("--smoke", action="store_true", help=f"{SMOKE_MB} MB instead of {FULL_MB}, one round")
    return parser.parse_args()


def make_files(directory: Path, megabytes: int) -> None:
    """Files that do not compress and do not repeat each other, from a seed."""
    directory.mkdir()
    generator = random.Random(0)  # noqa: S311 (not for secrets)
    for number in range(FILES):
        with (directory / f"model-{number:05d}.safetensors").open("wb") as stream:
            for _ in range(megabytes * 1_000_000 // FILES // BLOCK_BYTES):
                stream.write(generator.randbytes(BLOCK_BYTES))


def contenders(peer_python: Path) -> list[Contender]:
    storm = [sys.executable, "-m", "storm_core.cli", "artifact"]
    plain = [sys.executable, str(ROOT / "benchmarks" / "one_stream.py")]
    # Not resolved: the interpreter of a virtual environment is a link out of it.
    aws = [str(peer_python.absolute().with_name("aws")), "s3", "cp", "--recursive", "--only-show-errors"]

    def hashes(directory: Path) -> list[str]:
        names = [str(directory / f"model-{number:05d}.safetensors") for number in range(FILES)]
        return ["sha256sum", *names]

    return [
        Contender(
            "storm",
            lambda source, uri: [[*storm, "push", str(source), uri, "--kind", "model"]],
            lambda uri, target: [[*storm, "pull", artifact_in(uri), str(target)]],
        ),
        Contender(
            "one stream",
            lambda source, uri: [[*plain, "upload", str(source), uri]],
            lambda uri, target: [[*plain, "download", str(target), uri]],
        ),
        Contender(
            "aws s3 cp",
            lambda source, uri: [hashes(source), [*aws, str(source), uri]],
            lambda uri, target: [[*aws, uri, str(target)], hashes(target)],
        ),
    ]


def artifact_in(uri: str) -> str:
    """URI of the one artifact below the prefix."""
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    listed = boto3.client("s3").list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]
    (manifest,) = [one["Key"] for one in listed if one["Key"].endswith("manifest.json")]
    return f"s3://{bucket}/{manifest.removesuffix('/manifest.json')}"


def measure(
    competing: list[Contender], work: Path, rounds: int
) -> dict[tuple[str, str], list[tuple[float, float, float]]]:
    """Seconds, CPU seconds and peak MB of each upload and download, by contender and direction."""
    results: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    for number in range(rounds):
        for one in competing:
            uri = f"s3://{BUCKET}/{one.name.replace(' ', '-')}-{number}"
            target = work / "target"
            uploaded = run(one.upload(work / "source", uri))
            downloaded = run(one.download(uri, target))
            compare(work / "source", target)
            shutil.rmtree(target)
            results.setdefault((one.name, "upload"), []).append(uploaded)
            results.setdefault((one.name, "download"), []).append(downloaded)
    return results


def run(commands: list[list[str]]) -> tuple[float, float, float]:
    """Wall seconds and CPU seconds of the commands together, and the highest peak memory in MB among them."""
    os.sync()
    started = time.monotonic()
    cpu, peak = 0.0, 0.0
    for command in commands:
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"{' '.join(command)} failed")
        cpu += usage.ru_utime + usage.ru_stime
        peak = max(peak, usage.ru_maxrss / 1024)
    return time.monotonic() - started, cpu, peak


def compare(source: Path, target: Path) -> None:
    for path in source.iterdir():
        if (target / path.name).stat().st_size != path.stat().st_size:
            sys.exit(f"{target / path.name} is not what was sent")


def print_table(results: dict[tuple[str, str], list[tuple[float, float, float]]], megabytes: int) -> None:
    print(f"{megabytes} MB in {FILES} files; medians of {len(next(iter(results.values())))} runs")
    print(f"{'':14}{'direction':12}{'MB/s':>8}{'seconds':>10}{'CPU s':>8}{'peak MB':>10}")
    for (name, direction), runs in results.items():
        seconds, cpu, peak = (statistics.median(run[column] for run in runs) for column in range(3))
        print(f"{name:14}{direction:12}{megabytes / seconds:8.0f}{seconds:10.2f}{cpu:8.2f}{peak:10.0f}")


if __name__ == "__main__":
    main()
