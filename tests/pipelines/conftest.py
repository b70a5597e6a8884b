"""The whole recipe in seconds: a workspace for it, a run of it, and what a run left."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from storm_core.stores.references import open_store

ROOT = Path(__file__).parents[2]
BFCL = ROOT / ".data" / "bfcl_eval" / "data"
TOPICS = ["rain", "bread", "glass", "copper", "tides", "yeast", "steel", "maps", "bees", "ink", "salt", "wool"]
SUITE: dict[str, Any] = {
    "dtype": "float32",
    "seeds": {"sample": 0, "random": 0, "numpy": 0, "torch": 0, "fewshot": 0},
    "benchmarks": [
        {
            "name": "simple_python",
            "title": "BFCL simple (Python)",
            "kind": "function_calling",
            "path": "bfcl",
            "categories": ["simple_python"],
            "samples": 3,
            "guidelines": True,
            "batch_size": 3,
            "max_new_tokens": 4,
        }
    ],
}


def first_lines(source: Path, target: Path, count: int) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("".join(source.read_text(encoding="utf-8").splitlines(keepends=True)[:count]), encoding="utf-8")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path, other_tiny_llama: Path) -> Path:
    """Of a folder with a plain name."""
    return make_workspace(tmp_path_factory.mktemp("workspace"), tiny_llama, other_tiny_llama)


def make_workspace(workspace: Path, *models: Path) -> Path:
    """A recipe on tiny models and little data, `tiny.yaml`, all of it readable for any user."""
    workspace.chmod(0o755)
    base, sibling = (readable_copy(model, workspace / model.name) for model in models)
    data = workspace / "data"
    for category in ("simple_python", "live_simple"):
        for folder in (".", "possible_answer"):
            name = f"{folder}/BFCL_v4_{category}.json"
            first_lines(BFCL / name, data / "bfcl" / name, 8)
    rows = [
        {"messages": [{"role": "user", "content": f"What is {t}?"}, {"role": "assistant", "content": f"It is {t}."}]}
        for t in TOPICS
    ]
    (data / "chats.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (data / "suite.yaml").write_text(yaml.safe_dump(SUITE))
    recipe = {
        "base_model": str(base),
        "sibling_model": str(sibling),
        "data": str(data),
        "prepare_sources": ["chat=messages:chats.jsonl", "tools=bfcl:bfcl#live_simple"],
        "prepare_held_out": ["bfcl:bfcl#simple_python"],
        "prepare_shards": 2,
        "score_min_educational_value": 1.0,
        "select_min_educational_value": 1.0,
        "select_difficulties": ["easy", "medium", "hard"],
        "select_validation_fraction": 0.2,
        "train_epochs": 1.0,
        "train_learning_rate": 1e-3,
        "train_evaluations": 1,
        "evaluate_suite": "suite.yaml",
        "register_registered_model_name": "tiny",
    }
    (workspace / "tiny.yaml").write_text(yaml.safe_dump(recipe))
    return workspace


def readable_copy(directory: Path, copy: Path) -> Path:
    """A copy that any user may read; pytest's directories are private, and so are the files that transformers saves."""
    shutil.copytree(directory, copy)
    copy.chmod(0o755)
    for file in copy.iterdir():
        file.chmod(0o644)
    return copy


def run(workspace: Path, runs: str = "runs", *flags: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    variables = {**os.environ, **environment}
    command = run_command(workspace, runs, *flags)
    return subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)


def run_command(workspace: Path, runs: str, *flags: str) -> list[str]:
    command = [sys.executable, "-m", "pipelines", "run", "--recipe", str(workspace / "tiny.yaml")]
    return [*command, "--runs-directory", str(workspace / runs), *flags]


def artifacts(store: str) -> dict[str, set[str]]:
    """Digests of the artifacts in a store, by kind."""
    found: dict[str, set[str]] = {}
    for place in open_store(store).places():
        found.setdefault(place.kind, set()).add(place.digest)
    return found
