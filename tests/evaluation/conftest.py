"""A suite of its own over real questions."""

import copy
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

DATA = Path(__file__).parents[2] / ".data"
BFCL = DATA / "bfcl_eval" / "data"
TRIVIA = DATA / "chatterbot_corpus" / "data" / "english" / "trivia.yml"
SUITE: dict[str, Any] = {
    "dtype": "float32",
    "seeds": {"sample": 0, "random": 0, "numpy": 1234, "torch": 1234, "fewshot": 1234},
    "benchmarks": [
        {
            "kind": "function_calling",
            "name": "calls",
            "title": "Calls",
            "path": "bfcl",
            "categories": ["simple_python"],
            "guidelines": True,
            "samples": 3,
            "batch_size": 2,
            "max_new_tokens": 4,
        },
        {
            "kind": "lm_eval",
            "name": "trivia",
            "title": "Trivia",
            "task": "storm_trivia",
            "metric": "acc",
            "apply_chat_template": True,
            "fewshot_as_multiturn": False,
            "batch_size": 8,
            "questions": {
                "path": "trivia.yml",
                "samples": 5,
                "distractors": 3,
                "definition": {
                    "output_type": "multiple_choice",
                    "doc_to_text": "{{question}}",
                    "doc_to_choice": "{{choices}}",
                    "doc_to_target": "{{answer}}",
                    "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
                },
            },
        },
    ],
}


@pytest.fixture
def suite() -> dict[str, Any]:
    """A small suite: function calling and a local lm-eval task."""
    return copy.deepcopy(SUITE)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """What `suite` reads, and the suite itself as `suite.yaml`."""
    directory = tmp_path / "data"
    (directory / "bfcl" / "possible_answer").mkdir(parents=True)
    for name in ("BFCL_v4_simple_python.json", "possible_answer/BFCL_v4_simple_python.json"):
        shutil.copyfile(BFCL / name, directory / "bfcl" / name)
    shutil.copyfile(TRIVIA, directory / "trivia.yml")
    (directory / "suite.yaml").write_text(yaml.safe_dump(SUITE), encoding="utf-8")
    return directory
