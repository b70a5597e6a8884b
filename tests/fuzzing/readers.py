"""A reader of the product given inputs that were valid before something was changed in them.

Whatever a file holds, a reader takes it or refuses it in one line: everything else is a find.
"""

import os
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from shutil import rmtree
from typing import Generic, TypeVar

import pytest

from storm_core.chat_templates.rendering import MisfitError
from storm_core.cluster.errors import ClusterError
from storm_core.errors import InputError, StoreError
from tests.fuzzing.limits import TakesTooLongError, bounded_memory, bounded_time

Input = TypeVar("Input")
# What the command line turns into one line, and what a row or a conversation is left out for, with its reason.
REFUSALS = (InputError, StoreError, ClusterError, MisfitError)
# `make test` gives every reader its `inputs`, `make test-nightly` so many times as many.
NIGHTLY = 20
times = pytest.mark.parametrize("times", [1, pytest.param(NIGHTLY, marks=pytest.mark.nightly)], ids=["few", "many"])
_SEED_VARIABLE = "STORM_FUZZ_SEED"
# A line is for a person; some quote what is wrong.
_LONGEST_LINE = 2000
_MOST_SHOWN = 8
_FRAMES = 4


@dataclass(frozen=True, kw_only=True)
class Reader(Generic[Input]):
    """One reader.

    Attributes:
        valid: inputs that it takes.
        mutate: an input with something changed, by chance.
        read: gives an input to the product, in an empty directory; what it does beside that is checked too.
        inputs: how many in `make test`.
        takes_some: whether some of the changed inputs are taken and others refused; else all may be either.
    """

    name: str
    valid: Callable[[Path], Sequence[Input]]
    mutate: Callable[[Input, Random], Input]
    read: Callable[[Input, Path], object]
    inputs: int
    takes_some: bool = True

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, kw_only=True)
class Find:
    """An input at which a reader neither took nor refused what it was given."""

    seed: int
    kind: str
    trace: str


def readers(*listed: "Reader[Input]") -> pytest.MarkDecorator:
    """The parameter `reader`."""
    return pytest.mark.parametrize("reader", listed, ids=str)


def fuzz(reader: Reader[Input], times: int, directory: Path) -> None:
    """Fail with all kinds of finds among `times` as many inputs as the reader gets in `make test`."""
    valid = reader.valid(directory)
    place = directory / "input"
    outcomes: Counter[str] = Counter()
    finds: dict[str, Find] = {}
    with warnings.catch_warnings(action="ignore"), bounded_memory():
        for number, given in enumerate(valid):
            assert _outcome(reader, given, place) == "taken", f"input {number} of {reader}, unchanged"
        for seed in _seeds(reader.inputs * times):
            # Where a library ends the process, this tells with what.
            (directory / "seed").write_text(str(seed))
            given = mutated(reader, valid, seed)
            try:
                outcomes[_outcome(reader, given, place)] += 1
            except (Exception, TakesTooLongError) as error:
                find = _find(seed, error)
                finds.setdefault(find.kind, find)
                outcomes[find.kind] += 1
    _report(reader, outcomes, finds)


def mutated(reader: Reader[Input], valid: Sequence[Input], seed: int) -> Input:
    """The input of this seed."""
    # Named by the reader, so that no two get the same changes.
    chance = Random(f"{reader.name}:{seed}")  # noqa: S311 (not secret)
    given = reader.mutate(chance.choice(valid), chance)
    while chance.random() < 0.3:
        given = reader.mutate(given, chance)
    return given


def _seeds(count: int) -> Sequence[int]:
    alone = os.environ.get(_SEED_VARIABLE)
    return range(count) if alone is None else [int(alone)]


def _outcome(reader: Reader[Input], given: Input, place: Path) -> str:
    place.mkdir()
    try:
        with bounded_time():
            reader.read(given, place)
    except REFUSALS as error:
        line = str(error)
        # Of a row or a conversation the reason may be all that is said.
        said = bool(line) or isinstance(error, MisfitError)
        assert said and "\n" not in line and len(line) <= _LONGEST_LINE, f"not one line: {line[:_LONGEST_LINE]!r}"
        return "refused"
    finally:
        rmtree(place)
    return "taken"


def _find(seed: int, error: BaseException) -> Find:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/storm_core/" in frame.filename or "/pipelines/" in frame.filename]
    at = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "the test"
    trace = "".join(traceback.format_exception(error, limit=-_FRAMES))
    return Find(seed=seed, kind=f"{type(error).__name__} at {at}", trace=trace)


def _report(reader: Reader[Input], outcomes: Counter[str], finds: dict[str, Find]) -> None:
    shown = [
        f"{kind}, {outcomes[kind]} times. Alone: {_SEED_VARIABLE}={find.seed} pytest -k '{reader} and few' "
        f"tests/fuzzing\n{find.trace}"
        for kind, find in list(finds.items())[:_MOST_SHOWN]
    ]
    if finds:
        pytest.fail(f"{reader}: {dict(outcomes)}\n\n" + "\n".join(shown), pytrace=False)
    print(f"{reader}: {dict(outcomes)}")  # noqa: T201
    if reader.takes_some and sum(outcomes.values()) >= reader.inputs:
        assert outcomes["taken"] and outcomes["refused"], f"{reader}: {dict(outcomes)}"
