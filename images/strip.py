"""Remove from an environment what nothing at run time reads: `strip.py ENVIRONMENT`.

Only what is large is named, and the build's health check comes after. Compiled Python stays: a read-only root file
system could never make it again.
"""

import shutil
import sys
from pathlib import Path

# Below `lib/python*/site-packages`. Headers, CMake files and static libraries are for compiling against a package.
REMOVED = (
    "torch/bin/*test*",
    "torch/bin/protoc*",
    "torch/include",
    "torch/share",
    "torch/test",
    "torch/lib/*.a",
    "pyarrow/include",
    "pyarrow/src",
    "pyarrow/tests",
    "numpy/**/tests",
    "pandas/tests",
    "scipy/**/tests",
    "sklearn/**/tests",
    "matplotlib/tests",
    "mpl_toolkits/**/tests",
    "networkx/**/tests",
    "sympy/**/tests",
    "joblib/test",
    "nltk/test",
    # Triton's profiler.
    "triton/backends/nvidia/lib/cupti*",
    "triton/instrumentation",
)


def main(environment: Path) -> None:
    """Remove every match of `REMOVED`."""
    (packages,) = environment.glob("lib/python*/site-packages")
    for pattern in REMOVED:
        for path in sorted(packages.glob(pattern)):
            if path.is_dir():
                shutil.rmtree(path)
            elif path.exists():
                path.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
