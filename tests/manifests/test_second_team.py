"""The second team of docs/cluster.md: what stands there in several places is one name."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.profiles.checks import check
from pipelines.profiles.loading import load_profile

ROOT = Path(__file__).parents[2]
TEAM = "team-b"


@pytest.fixture(scope="module")
def examples() -> list[Any]:
    """The profile, the kustomization and the queue."""
    text = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    return [yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```$", text, re.M | re.S)]


def test_profile_of_the_page_is_one(examples: list[Any], tmp_path: Path) -> None:
    (tmp_path / "team-b.yaml").write_text(yaml.safe_dump(examples[0]), encoding="utf-8")
    profile = load_profile(str(tmp_path / "team-b.yaml"))
    check(profile)
    assert profile.registered_model_name == "storm-team-b"
    assert profile.task("train").environment["MLFLOW_EXPERIMENT_NAME"] == TEAM


def test_policy_is_for_the_store_of_the_profile_and_no_other(examples: list[Any]) -> None:
    bucket, prefix = examples[0]["store"].removeprefix("s3://").split("/")
    policy = json.loads((ROOT / "manifests" / "bucket" / "team_policy.json").read_text(encoding="utf-8"))
    artifacts, names, uploads = policy["Statement"]
    assert artifacts["Resource"] == f"arn:aws:s3:::{bucket}/{prefix}/*"
    assert names["Condition"] == {"StringLike": {"s3:prefix": f"{prefix}/*"}}
    assert names["Resource"] == uploads["Resource"] == f"arn:aws:s3:::{bucket}"
    assert uploads["Action"] == "s3:ListBucketMultipartUploads"


def test_kustomization_takes_what_is_there(examples: list[Any]) -> None:
    directory = ROOT / "manifests" / "overlays" / TEAM
    for part in (*examples[1]["resources"], *examples[1]["components"]):
        assert (directory / part / "kustomization.yaml").resolve().is_file()
    (transformer,) = examples[1]["transformers"]
    assert yaml.safe_load(transformer)["metadata"]["namespace"] == TEAM


def test_queue_is_the_one_that_the_profile_s_label_names(examples: list[Any]) -> None:
    label = examples[0]["default"]["labels"]["kueue.x-k8s.io/queue-name"]
    assert examples[2]["metadata"] == {"name": label, "namespace": TEAM}
