"""Everything the audit tells, as data: the content of `judge.json`."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from storm_core.judge_audit.checks import check_rubric, describe, judge_the_judge
from storm_core.judge_audit.comparison import compare, position_bias
from storm_core.judge_audit.config import AuditConfig
from storm_core.judge_audit.probes import FORWARD, REVERSE, ProbeVerdicts
from storm_core.judge_audit.rewordings import Rewordings
from storm_core.judge_audit.summary import BY_EXPECTED_VALUE, BY_LABEL, JudgeSummary, RubricSummary
from storm_core.judging.wording.rubrics import label_in_name
from storm_core.verdicts.schema import Verdict

# What the article reports of its 8B judge: 1.3M of 2.8M kept by educational value; of those 650k medium, 325k hard.
ARTICLE = {"kept_share": 0.46, "difficulty_shares": {"medium": 0.5, "hard": 0.25}}
REVERSED = "reversed"


def collect(
    summary: JudgeSummary,
    probe_verdicts: ProbeVerdicts,
    rewordings: Mapping[str, Rewordings],
    config: AuditConfig,
    judge_digest: str,
) -> dict[str, Any]:
    """The numbers of an audit.

    Args:
        summary: of all verdicts.
        probe_verdicts: to the probes; empty where nothing was asked.
        rewordings: by rubric.
        config: of the stage.
        judge_digest: identity of the judge.

    Returns:
        `verdict` in words, `checks`, `judge` (digest, engine, max_length), `seed`, `kept` against the `article`, and
        `rubrics` in the order in which they are asked.
    """
    rubrics = [
        _collect_rubric(one, probe_verdicts, rewordings.get(name), config) for name, one in summary.rubrics.items()
    ]
    checks = [check for rubric in rubrics for check in check_rubric(rubric)]
    return {
        "verdict": judge_the_judge(checks),
        "checks": [describe(check) for check in checks],
        "judge": {"digest": judge_digest, "engine": config.engine, "max_length": config.max_length},
        "seed": config.seed,
        "kept": summary.kept(),
        "article": ARTICLE,
        "rubrics": rubrics,
    }


def metrics_of(contents: Mapping[str, Any]) -> dict[str, float]:
    """The numbers to follow from run to run, by name; what could not be measured is left out."""
    kept = contents["kept"]
    found = {
        "examples": kept["examples"],
        **_kept_metrics(kept),
        **{f"checks_{name}": 0.0 for name in ("good", "fair", "poor", "unknown")},
    }
    for check in contents["checks"]:
        found[f"checks_{check['outcome']}"] += 1
        found[f"{check['rubric']}_{check['name']}"] = check["estimate"]
    for rubric in contents["rubrics"]:
        found[f"{rubric['name']}_entropy_bits"] = rubric["total"]["mean_entropy_bits"]
        for probe in rubric["probes"]:
            for name in ("exact_agreement", "within_one_agreement", "weighted_kappa", "spearman"):
                found[f"{rubric['name']}_{probe['name']}_{name}"] = probe[name]["estimate"]
    return {name: float(value) for name, value in found.items() if value is not None}


def _kept_metrics(kept: Mapping[str, Any]) -> dict[str, float]:
    found: dict[str, float] = {}
    for way in (BY_LABEL, BY_EXPECTED_VALUE):
        found[f"kept_share_{way}"] = kept[way]["share"]
        shares = kept[way]["difficulty_shares"].items()
        for place, (label, share) in enumerate(shares):
            found[f"kept_share_{way}_difficulty_{label_in_name(label, place)}"] = share
    return found


def _collect_rubric(
    summary: RubricSummary, probe_verdicts: ProbeVerdicts, rewordings: Rewordings | None, config: AuditConfig
) -> dict[str, Any]:
    rubric = summary.rubric
    stored = {verdict.id: verdict for verdict in summary.probed()} if probe_verdicts else {}
    asked = {name: found for (of, name), found in probe_verdicts.items() if of == rubric.name and found}
    probes = [
        {"name": name, **compare(stored, found, rubric, config.seed)}
        for name, found in asked.items()
        if name not in (FORWARD, REVERSE)
    ]
    bias = None
    if FORWARD in asked:
        probes.append({"name": REVERSED, **compare(asked[FORWARD], asked[REVERSE], rubric, config.seed)})
        bias = position_bias(asked[FORWARD], asked[REVERSE], config.seed)
    return {
        "name": rubric.name,
        "question": rubric.question,
        "labels": list(rubric.labels),
        "values": list(rubric.values),
        "sha256": rubric.sha256,
        "max_entropy_bits": math.log2(len(rubric.labels)),
        "rewordings": _wordings(rewordings),
        "histogram_edges": summary.total.verdicts.edges,
        "total": summary.total.numbers(),
        "sources": {source: summary.sources[source].numbers() for source in sorted(summary.sources)},
        "length_correlation_within_sources": _within_sources(summary),
        "probed_examples": len(stored),
        # Half of what a share can be off, 19 times of 20, at its widest: 1.96 sqrt(0.25 / n).
        "probed_margin": 1.96 * math.sqrt(0.25 / len(stored)) if stored else None,
        "probes": probes,
        "position_bias": bias,
        "shown": _shown(summary.shown()),
    }


def _wordings(rewordings: Rewordings | None) -> dict[str, Any] | None:
    if rewordings is None:
        return None
    return {
        "sha256": rewordings.sha256,
        "paraphrases": [paraphrase.question for paraphrase in rewordings.paraphrases],
        "forward": rewordings.forward.question,
        "reverse": rewordings.reverse.question,
    }


def _within_sources(summary: RubricSummary) -> float | None:
    """Mean over the sources of the correlation of length and expected value, each source by its number of verdicts."""
    found = [(source.lengths.correlation(), source.verdicts.verdicts) for source in summary.sources.values()]
    known = [(value, weight) for value, weight in found if value is not None]
    return sum(value * weight for value, weight in known) / sum(weight for _, weight in known) if known else None


def _shown(verdicts: Mapping[str, Sequence[Verdict]]) -> list[dict[str, Any]]:
    """The examples to show of each label, in the order of the rubric; of no answer only where there is one."""
    fields = ("id", "source", "probabilities", "expected_value", "label_mass", "tokens", "truncated")
    return [
        {"label": label, "examples": [{field: getattr(one, field) for field in fields} for one in given]}
        for label, given in verdicts.items()
        if label or given
    ]
