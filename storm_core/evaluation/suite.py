"""A suite: which benchmarks are run, and every setting that their scores depend on. One YAML file."""

import dataclasses
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import PurePosixPath
from typing import Any

from storm_core.artifacts import Artifact
from storm_core.errors import InputError
from storm_core.evaluation.fields import build
from storm_core.yaml_documents import read_yaml

_NAME = re.compile(r"[a-z0-9_]+")
# Those of `storm_core.devices`; who only reads a suite need not load that, and PyTorch with it.
_DTYPES = ("auto", "bfloat16", "float32")


# What NumPy takes.
_SEEDS = range(1 << 32)


@dataclass(frozen=True, kw_only=True)
class Seeds:
    """`sample` draws the questions; the others are lm-eval's four, under its own names."""

    sample: int
    random: int
    numpy: int
    torch: int
    fewshot: int


@dataclass(frozen=True, kw_only=True)
class FunctionCalling:
    """BFCL categories, by its AST rules.

    Attributes:
        path: directory with `BFCL_v4_<category>.json` and `possible_answer/`, relative to the data.
        categories: the score is the plain mean of their accuracies, as BFCL's own AST summary.
        samples: questions drawn from each category; all of them where left out.
        guidelines: whether the recipe's three BFCL guidelines replace the last paragraph of its system prompt.
    """

    name: str
    title: str
    path: str
    categories: tuple[str, ...]
    guidelines: bool
    batch_size: int
    max_new_tokens: int
    samples: int | None = None


@dataclass(frozen=True, kw_only=True)
class Questions:
    """Multiple-choice questions made from a YAML file of questions and answers.

    Attributes:
        path: a chatterbot-corpus file, relative to the data.
        samples: questions drawn from it.
        distractors: wrong choices of each, drawn from the answers to the other questions.
        definition: the task in lm-eval's own terms, over documents with `question`, `choices` and `answer` (an index).
    """

    path: str
    samples: int
    distractors: int
    definition: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class LmEval:
    """One task or group of lm-eval.

    Attributes:
        metric: the one that is the benchmark's score, with a filter's name where the task has several
            (`exact_match,strict-match`); `also` lists further ones to keep.
        num_fewshot: the task's own default where left out.
        launcher: how the article started it (`accelerate`); it changes the speed, not the score.
        questions: local questions that make up the task; without it, `task` is one of lm-eval's own.
    """

    name: str
    title: str
    task: str
    metric: str
    apply_chat_template: bool
    fewshot_as_multiturn: bool
    batch_size: int
    also: tuple[str, ...] = ()
    num_fewshot: int | None = None
    launcher: str | None = None
    questions: Questions | None = None


Benchmark = FunctionCalling | LmEval
_KINDS: Mapping[str, type[Benchmark]] = {"function_calling": FunctionCalling, "lm_eval": LmEval}


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A suite as its file says. `dtype` is the precision its scores are defined in; `sha256` is the file's."""

    name: str
    sha256: str
    dtype: str
    seeds: Seeds
    benchmarks: tuple[Benchmark, ...]


def load_suite(name: str, data: Artifact) -> Suite:
    """The built-in suite `name`, or the one in the YAML file that `data` lists at that path.

    A suite of one's own lies in the data because the data is what a run is identified by: a changed file runs anew.

    Raises:
        InputError: there is no such suite, or it has unknown, missing or unusable settings.
    """
    if name in built_in_suites():
        content = (resources.files(__package__) / "suites" / f"{name}.yaml").read_bytes()
        return parse_suite(name, content, where=f"suite {name}")
    try:
        path = data.file(PurePosixPath(name).as_posix())
    except InputError as error:
        known = ", ".join(built_in_suites())
        raise InputError(
            f"unknown suite {name!r}; use one of {known}, or the path of a YAML file inside {data.path}: {error}"
        ) from error
    return parse_suite(path.stem, path.read_bytes(), where=str(path))


def built_in_suites() -> list[str]:
    """Names of the suites that come with the package."""
    files = (resources.files(__package__) / "suites").iterdir()
    return sorted(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml"))


def parse_suite(name: str, content: bytes, where: str) -> Suite:
    """The suite that the YAML text `content` describes.

    Raises:
        InputError: names the setting and what is wrong with it.
    """
    raw = read_yaml(content, where)
    if not isinstance(raw, dict) or set(raw) != {"dtype", "seeds", "benchmarks"}:
        found = ", ".join(sorted(map(str, raw))) if isinstance(raw, dict) else type(raw).__name__
        raise InputError(f"{where} must have the keys dtype, seeds and benchmarks, not {found}")
    if raw["dtype"] not in _DTYPES:
        raise InputError(f"{where}: dtype must be one of {', '.join(_DTYPES)}, got {raw['dtype']!r}")
    benchmarks = _parse_benchmarks(raw["benchmarks"], where)
    seeds = build(Seeds, raw["seeds"], f"{where}, seeds")
    for field, seed in dataclasses.asdict(seeds).items():
        if seed not in _SEEDS:
            raise InputError(f"{where}, seeds, {field} must be from 0 to {_SEEDS[-1]}, got {seed}")
    sha256 = hashlib.sha256(content).hexdigest()
    return Suite(name=name, sha256=sha256, dtype=raw["dtype"], seeds=seeds, benchmarks=benchmarks)


def _parse_benchmarks(raw: Any, where: str) -> tuple[Benchmark, ...]:
    if not isinstance(raw, list) or not raw:
        raise InputError(f"{where}: benchmarks must be a list with at least one entry")
    benchmarks = tuple(_parse_benchmark(one, f"{where}, benchmark {_called(one, i)}") for i, one in enumerate(raw))
    names = [benchmark.name for benchmark in benchmarks]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{where} has two benchmarks named {name}; give each its own name")
    return benchmarks


def _called(raw: Any, place: int) -> Any:
    """The name of a benchmark, or else its place in the list, from 0."""
    name = raw.get("name") if isinstance(raw, dict) else None
    return name if isinstance(name, str) else place


def _parse_benchmark(raw: Any, where: str) -> Benchmark:
    if not isinstance(raw, dict) or raw.get("kind") not in tuple(_KINDS):
        raise InputError(f"{where} must be a mapping with the kind {' or '.join(_KINDS)}, got {raw!r}")
    settings = {key: value for key, value in raw.items() if key != "kind"}
    benchmark = build(_KINDS[raw["kind"]], settings, where)
    if not _NAME.fullmatch(benchmark.name):
        raise InputError(f"{where}: name must be of lower-case letters, digits and _, got {benchmark.name!r}")
    _check_sizes(benchmark, where)
    return benchmark


def _check_sizes(benchmark: Benchmark, where: str) -> None:
    drawn = benchmark if isinstance(benchmark, FunctionCalling) else benchmark.questions
    samples = drawn.samples if drawn else None
    if samples is not None and samples < 2:
        raise InputError(f"{where}: samples must be >= 2, or there is no standard error; got {samples}")
    if benchmark.batch_size < 1:
        raise InputError(f"{where}: batch_size must be >= 1, got {benchmark.batch_size}")
    if isinstance(benchmark, LmEval) and (benchmark.num_fewshot or 0) < 0:
        raise InputError(f"{where}: num_fewshot must be >= 0, got {benchmark.num_fewshot}")
    if isinstance(drawn, FunctionCalling) and (drawn.max_new_tokens < 1 or not drawn.categories):
        raise InputError(f"{where}: needs max_new_tokens >= 1 and at least one category")
    if isinstance(drawn, FunctionCalling) and len(set(drawn.categories)) < len(drawn.categories):
        raise InputError(f"{where}: categories has one of them twice: {', '.join(drawn.categories)}")
    if isinstance(drawn, Questions) and drawn.distractors < 1:
        raise InputError(f"{where}: distractors must be >= 1, got {drawn.distractors}")
