"""The judge asked again about some examples: in other words, in another order of labels, in other batches."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from storm_core.examples.sampling import shuffle
from storm_core.judge_audit.config import AuditConfig
from storm_core.judge_audit.rewordings import Rewordings
from storm_core.judging.judge import Judge
from storm_core.judging.scoring import make_batches, make_verdict
from storm_core.judging.wording.prompts import Context, Question
from storm_core.records import Example
from storm_core.verdicts.schema import Verdict

REPEATED = "repeated"
SHUFFLED = "shuffled"
FORWARD = "forward"
REVERSE = "reverse"


@dataclass(frozen=True, kw_only=True)
class Probe:
    """One way of asking a rubric again.

    Attributes:
        name: `repeated`, `shuffled`, `paraphrase_1` and so on, `forward` or `reverse`.
        shuffled: whether examples come in another order and in batches of another size.
    """

    name: str
    rubric: str
    question: Question
    shuffled: bool = False


# Verdicts by example ID, by rubric and name of the probe.
ProbeVerdicts = dict[tuple[str, str], dict[str, Verdict]]


def make_probes(judge: Judge, rewordings: Mapping[str, Rewordings]) -> list[Probe]:
    """Every way in which to ask again; `judge.reworded` are the questions of the rewordings, in their order."""
    probes = []
    reworded = iter(judge.reworded)
    for question in (judge.educational_value, judge.difficulty):
        name = question.rubric.name
        probes.append(Probe(name=REPEATED, rubric=name, question=question))
        probes.append(Probe(name=SHUFFLED, rubric=name, question=question, shuffled=True))
        if name in rewordings:
            names = [paraphrase_name(place) for place, _ in enumerate(rewordings[name].paraphrases)]
            probes += [Probe(name=probe, rubric=name, question=next(reworded)) for probe in (*names, FORWARD, REVERSE)]
    return probes


def paraphrase_name(place: int) -> str:
    """What the paraphrase in this place of the file is called."""
    return f"paraphrase_{place + 1}"


def ask_probes(
    judge: Judge,
    probes: Sequence[Probe],
    examples: Mapping[str, Example],
    probed: Mapping[str, Sequence[str]],
    config: AuditConfig,
    probe_verdicts: ProbeVerdicts,
) -> Iterator[str]:
    """Put every answer into `probe_verdicts`; a context is read once for all that is asked in its place.

    Args:
        judge: whom to ask.
        probes: what to ask.
        examples: by ID.
        probed: IDs of the examples about which each rubric is asked.
        config: what makes the prompts and the batches.
        probe_verdicts: filled in here.

    Yields:
        The ID of each example as it is done, once in the order of length and once shuffled.
    """
    probe_verdicts.update({(probe.rubric, probe.name): {} for probe in probes})
    contexts = {
        id: judge.builder.context(examples[id].messages, config.max_length)
        for id in sorted({id for ids in probed.values() for id in ids})
    }
    judge.check_window(list(contexts.values()))
    for shuffled in (False, True):
        for rubrics, ids in _by_rubrics(probed).items():
            asked = [probe for probe in probes if probe.shuffled == shuffled and probe.rubric in rubrics]
            for batch in _batches(judge, {id: contexts[id] for id in ids}, config, shuffled=shuffled):
                reading = judge.engine.read([contexts[id] for id in batch])
                for probe in asked:
                    found = zip(batch, reading.ask(probe.question), strict=True)
                    probe_verdicts[probe.rubric, probe.name].update(
                        {id: make_verdict(judge, examples[id], contexts[id], probe.question, a) for id, a in found}
                    )
                yield from batch


def _by_rubrics(probed: Mapping[str, Sequence[str]]) -> dict[tuple[str, ...], list[str]]:
    """The examples, by what is asked about them."""
    rubrics: dict[str, tuple[str, ...]] = {}
    for rubric, ids in probed.items():
        for id in ids:
            rubrics[id] = (*rubrics.get(id, ()), rubric)
    groups: dict[tuple[str, ...], list[str]] = {}
    for id in sorted(rubrics):
        groups.setdefault(rubrics[id], []).append(id)
    return groups


def _batches(
    judge: Judge, contexts: Mapping[str, Context], config: AuditConfig, *, shuffled: bool
) -> Iterator[list[str]]:
    if not shuffled:
        yield from make_batches(judge, contexts, config)
        return
    ids = list(contexts)
    order = [ids[position] for position in shuffle(ids, f"shuffled/{config.seed}/")]
    # Lengths as they come, so that there is padding; and never the batches of the other order.
    size = max(2, config.examples_at_once // 2)
    for start in range(0, len(order), size):
        yield order[start : start + size]
