"""The peak memory of a command, started by itself from a small process.

    python benchmarks/peak_memory.py COMMAND...

On Linux a process inherits the peak of the one that starts it (`getrusage(2)` counts from before `execve(2)`), so a
benchmark that has made its corpus would report its own peak as that of whatever it starts.
"""

import os
import subprocess
import sys
from collections.abc import Sequence


def peak_megabytes(command: Sequence[str]) -> float:
    """Run a command, its output unseen and with none of the caller's stores; its peak resident memory in MB."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("STORM_", "MLFLOW_"))}
    measured = [sys.executable, __file__, *command]
    finished = subprocess.run(measured, env=environment, capture_output=True, text=True, check=False)
    if finished.returncode:
        sys.exit(f"{' '.join(command)} failed with {finished.returncode}:\n{finished.stderr[-2000:]}")
    return float(finished.stdout)


def main() -> int:
    process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    print(usage.ru_maxrss / 1024)
    return process.returncode


if __name__ == "__main__":
    sys.exit(main())
