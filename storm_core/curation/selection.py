"""Which examples stay, and which of those validate: pure functions of the verdicts, the thresholds and a seed."""

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from storm_core.curation.config import SelectConfig
from storm_core.curation.rubrics import DIFFICULTY, EDUCATIONAL_VALUE
from storm_core.curation.verdicts import Verdict
from storm_core.errors import InputError

LOW_EDUCATIONAL_VALUE = "low_educational_value"
TOO_EASY = "too_easy"
OTHER_DIFFICULTY = "other_difficulty"


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What selection needs of an example's verdicts; `difficulty` is None where the judge was not asked."""

    label: str
    expected_value: float
    difficulty: str | None


def gather(sources: Mapping[str, str], verdicts: Iterable[Verdict]) -> dict[str, Judgement]:
    """The judgement of every example, by ID.

    Args:
        sources: source of every example, by ID.
        verdicts: all of them, in any order.

    Raises:
        InputError: an example without educational value verdict, two verdicts for one question, a verdict on an unknown
            example, or verdicts of different judges or wordings; names counts and one example.
    """
    found = _by_rubric(sources, verdicts)
    values, difficulties = found[EDUCATIONAL_VALUE], found[DIFFICULTY]
    missing = [id for id in sources if id not in values]
    _refuse(missing, "examples have no educational value verdict; give the verdicts of every shard")
    for rubric, answers in found.items():
        _refuse_several({verdict.rubric_hash for verdict in answers.values()}, f"wordings of {rubric}")
    _refuse_several({verdict.judge_digest for answers in found.values() for verdict in answers.values()}, "judges")
    return {
        id: Judgement(
            label=values[id].label,
            expected_value=values[id].expected_value,
            difficulty=difficulties[id].label if id in difficulties else None,
        )
        for id in sources
    }


def drop_reasons(judgements: Mapping[str, Judgement], config: SelectConfig) -> dict[str, str | None]:
    """For every example the reason it is dropped, or None if it stays.

    Raises:
        InputError: an example passes on educational value, but the judge was not asked for its difficulty.
    """
    reasons = {id: _drop_reason(judgement, config) for id, judgement in judgements.items()}
    unasked = [id for id, judgement in judgements.items() if reasons[id] is None and judgement.difficulty is None]
    _refuse(
        unasked,
        f"examples with educational value >= {config.min_educational_value} by {config.educational_value_by} have no "
        "difficulty verdict; score again with a lower min_educational_value (1 asks about all)",
    )
    return reasons


def possible_reasons(config: SelectConfig) -> tuple[str, ...]:
    """The reasons that `drop_reasons` may give under these options, in the order in which they apply."""
    whole = {"medium", "hard"} <= set(config.difficulties)
    return (LOW_EDUCATIONAL_VALUE, TOO_EASY) if whole else (LOW_EDUCATIONAL_VALUE, TOO_EASY, OTHER_DIFFICULTY)


def split(sources: Mapping[str, str], fraction: float, seed: int) -> tuple[list[str], list[str]]:
    """IDs for train and for validation, each in an order that only the seed decides.

    Validation gets `fraction` of all, rounded, but at least one and never all where there are two or more. Every source
    gives its share; what rounding leaves over goes to the sources with the largest remainders. Within a source the IDs
    with the lowest hashes validate, so an example's side changes little when others come or go.

    Args:
        sources: source of every kept example, by ID.
        fraction: 0 to 0.5; 0 makes validation empty.
        seed: changes both choice and order.
    """
    by_source: defaultdict[str, list[str]] = defaultdict(list)
    for id in _shuffled(sources, seed, "split"):
        by_source[sources[id]].append(id)
    shares = _shares({source: len(ids) for source, ids in by_source.items()}, fraction)
    validation = {id for source, ids in by_source.items() for id in ids[: shares[source]]}
    order = _shuffled(sources, seed, "order")
    return [id for id in order if id not in validation], [id for id in order if id in validation]


def _by_rubric(sources: Mapping[str, str], verdicts: Iterable[Verdict]) -> dict[str, dict[str, Verdict]]:
    """The verdicts by rubric and ID, none of them foreign and none there twice."""
    found: dict[str, dict[str, Verdict]] = {EDUCATIONAL_VALUE: {}, DIFFICULTY: {}}
    foreign: list[str] = []
    twice: list[str] = []
    for verdict in verdicts:
        if verdict.rubric not in found:
            raise InputError(f"the verdict on {verdict.id} is about the unknown rubric {verdict.rubric!r}; score again")
        answers = found[verdict.rubric]
        if verdict.id not in sources:
            foreign.append(verdict.id)
        elif verdict.id in answers:
            twice.append(verdict.id)
        answers[verdict.id] = verdict
    _refuse(foreign, "verdicts are about examples that are not among these; give the examples that were scored")
    _refuse(twice, "verdicts repeat an answer that is there already; give each verdicts artifact once")
    return found


def _drop_reason(judgement: Judgement, config: SelectConfig) -> str | None:
    by_label = config.educational_value_by == "label"
    value = _number(judgement.label) if by_label else judgement.expected_value
    if value < config.min_educational_value:
        return LOW_EDUCATIONAL_VALUE
    if judgement.difficulty is None or judgement.difficulty in config.difficulties:
        return None
    return TOO_EASY if judgement.difficulty == "easy" else OTHER_DIFFICULTY


def _number(label: str) -> float:
    try:
        return float(label)
    except ValueError:
        raise InputError(f"educational value label {label!r} is not a number; score again with this version") from None


def _shares(counts: Mapping[str, int], fraction: float) -> dict[str, int]:
    """How many of each source validate: the largest remainder method over `fraction` of the whole."""
    total = sum(counts.values())
    if fraction == 0 or total < 2:
        return dict.fromkeys(counts, 0)
    wanted = min(max(1, math.floor(fraction * total + 0.5)), total - 1)
    quotas = {source: fraction * count for source, count in counts.items()}
    shares = {source: math.floor(quota) for source, quota in quotas.items()}
    by_remainder = sorted(counts, key=lambda source: (shares[source] - quotas[source], source))
    for source in by_remainder[: wanted - sum(shares.values())]:
        shares[source] += 1
    return shares


def _shuffled(ids: Iterable[str], seed: int, purpose: str) -> list[str]:
    """The IDs in the order of SHA-256 over purpose, seed and ID: the same on every machine and Python version."""
    return sorted(ids, key=lambda text: hashlib.sha256(f"{purpose}/{seed}/{text}".encode()).digest())


def _refuse(ids: Sequence[str], problem: str) -> None:
    if ids:
        raise InputError(f"{len(ids)} {problem} (one is {ids[0]})")


def _refuse_several(things: set[str], name: str) -> None:
    if len(things) > 1:
        raise InputError(f"the verdicts come from {len(things)} different {name}; score every shard in the same way")
