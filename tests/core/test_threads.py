"""The number of threads follows the CPU limit, in both versions of control groups."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from storm_core.threads import processor_limit


def lay_out(root: Path, memberships: str, files: dict[str, str]) -> float | None:
    """The limit of a process with these memberships, where the mounted groups hold these files."""
    for name, text in files.items():
        (root / "cgroup" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "cgroup" / name).write_text(text)
    (root / "memberships").write_text(memberships)
    return processor_limit(root / "memberships", root / "cgroup")


def test_container_in_a_name_space_of_its_own_reads_the_root_of_version_2(tmp_path: Path) -> None:
    assert lay_out(tmp_path, "0::/\n", {"cpu.max": "150000 100000\n"}) == 1.5


def test_tightest_of_the_groups_around_a_process_counts(tmp_path: Path) -> None:
    files = {"a/cpu.max": "400000 100000\n", "a/b/cpu.max": "max 100000\n", "cpu.max": "800000 100000"}
    assert lay_out(tmp_path, "0::/a/b\n", files) == 4


def test_group_without_a_limit_limits_nothing(tmp_path: Path) -> None:
    assert lay_out(tmp_path, "0::/\n", {"cpu.max": "max 100000\n"}) is None


def test_version_1_is_read_where_the_mount_shows_the_container_s_own_group(tmp_path: Path) -> None:
    files = {"cpu,cpuacct/cpu.cfs_quota_us": "50000\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"}
    memberships = "12:memory:/kubepods/pod1/abc\n4:cpu,cpuacct:/kubepods/pod1/abc\n0::/\n"
    assert lay_out(tmp_path, memberships, files) == 0.5


def test_version_1_without_a_limit_limits_nothing(tmp_path: Path) -> None:
    files = {"cpu,cpuacct/cpu.cfs_quota_us": "-1\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"}
    assert lay_out(tmp_path, "4:cpu,cpuacct:/\n", files) is None


def test_version_1_is_read_where_the_mount_has_another_name(tmp_path: Path) -> None:
    files = {"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}
    assert lay_out(tmp_path, "4:cpuacct,cpu:/a\n", files) == 3


def test_file_that_says_nothing_limits_nothing(tmp_path: Path) -> None:
    assert lay_out(tmp_path, "0::/\n", {"cpu.max": ""}) is None


def test_limit_of_the_memory_hierarchy_is_none_of_the_processors(tmp_path: Path) -> None:
    files = {"cpuset/cpu.cfs_quota_us": "50000", "cpuset/cpu.cfs_period_us": "100000"}
    assert lay_out(tmp_path, "4:cpuset:/\n", files) is None


def test_machine_without_control_groups_limits_nothing(tmp_path: Path) -> None:
    assert processor_limit(tmp_path / "none", tmp_path) is None


CHILD = """
import json, os, pathlib, storm_core.threads as threads
threads.processor_limit = lambda: 0.5
threads.limit_threads()
import torch, pyarrow
print(json.dumps([torch.get_num_threads(), pyarrow.cpu_count(), os.environ["VLLM_CPU_OMP_THREADS_BIND"]]))
"""


@pytest.mark.parametrize(
    ("given", "expected"), [({}, '[1, 1, "nobind"]'), ({"OMP_NUM_THREADS": "2"}, '[2, 2, "nobind"]')]
)
def test_libraries_take_the_limit_rounded_up_unless_told_otherwise(given: dict[str, str], expected: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "RAYON_"))}
    command = [sys.executable, "-c", CHILD]
    finished = subprocess.run(command, env={**environment, **given}, capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == expected


def test_command_line_sets_the_threads_before_anything_that_computes_is_loaded() -> None:
    code = "import sys, storm_core.cli; print({'numpy', 'torch', 'pyarrow', 'mlflow'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
