"""`gate`: read the evaluations, apply the rules, write the decision. A gate that does not open is no failed stage."""

import json
from collections.abc import Mapping
from pathlib import Path

from storm_core.progress import report
from storm_core.promotion.config import GateConfig
from storm_core.promotion.evaluations import ROLES, check_comparable, read_evaluation
from storm_core.promotion.gate import decide
from storm_core.promotion.rules import load_rules
from storm_core.stage import Inputs, Results


def run(config: GateConfig, inputs: Inputs, outputs: Mapping[str, Path]) -> Results:
    """Write `decision.json`.

    Raises:
        InputError: an evaluation cannot be read, or they were not made on the same suite alike.
    """
    evaluations = {role: read_evaluation(inputs[f"{role}_evaluation"]) for role in ROLES}
    check_comparable(evaluations)
    decision = decide(evaluations, load_rules(), config)
    text = json.dumps(decision, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    (outputs["decision"] / "decision.json").write_text(text, encoding="utf-8")
    for rule in decision["rules"]:
        report(f"gate: {'passed' if rule['passed'] else 'FAILED'}  {rule['name']}  {rule['reason']}")
    means = {f"mean_{role}": value for role, value in decision["means"].items()}
    passed = sum(rule["passed"] for rule in decision["rules"])
    return Results(metrics={"passed": float(decision["passed"]), "rules_passed": passed, **means})
