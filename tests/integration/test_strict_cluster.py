"""Stages where a cluster is stricter than KFP asks for: read-only root, scratch volumes, a private CA, proxies."""

import base64
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.certificates import private_certificates
from tests.integration.cluster import Cluster
from tests.integration.conftest import (
    BUCKET,
    SECRETS,
    Finished,
    Servers,
    compile_executors,
    s3_secret,
    servers_image,
)
from tests.integration.doors import Door
from tests.integration.replays import Replay

pytestmark = pytest.mark.cluster

# An address of the block that documentation uses: nothing answers there.
IMAGE_USER = 65532
TEMPORARY = "/tmp"  # noqa: S108 (the volume's place)
PROXY = "http://198.51.100.1:3128"
CA = "/etc/company-ca"
STRICT_PROFILE = {
    "scratch": "1Gi",
    "scratch_class": "standard",
    "files_from": [{"config_map": "company-ca", "path": CA}],
    "environment": {"AWS_CA_BUNDLE": f"{CA}/ca.crt"},
    "environment_from": [{"config_map": "proxies", "keys": ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"]}],
    "labels": {"cost-centre": "research"},
}


def digest(finished: Finished, task: str, output: str) -> str:
    """The digest that the finished run gave the output."""
    (ended,) = (ended for ended in finished.walk.ended if ended.task == task)
    return str(ended.executor_output["artifacts"][output]["artifacts"][0]["metadata"]["digest"])


def main_container(pod: dict[str, Any]) -> dict[str, Any]:
    """The container of the stage."""
    (container,) = pod["spec"]["containers"]
    return dict(container)


def with_read_only_root(pod: dict[str, Any]) -> dict[str, Any]:
    """The pod as KFP cannot make it: nothing can be written but to its volumes, of which /tmp is one."""
    container = main_container(pod)
    container["securityContext"] = {**container["securityContext"], "readOnlyRootFilesystem": True}
    volumes = pod["spec"]["volumes"]
    if not any(mount["mountPath"] == TEMPORARY for mount in container["volumeMounts"]):
        container["volumeMounts"] = [*container["volumeMounts"], {"name": "temporary", "mountPath": TEMPORARY}]
        volumes = [*volumes, {"name": "temporary", "emptyDir": {}}]
    return {**pod, "spec": {**pod["spec"], "containers": [container], "volumes": volumes}}


@pytest.mark.parametrize(
    ("task", "output"), [("prepare", "examples"), ("train", "tuned_model"), ("merge", "merged_model")]
)
def test_stage_gives_the_same_artifact_with_a_read_only_root(finished: Finished, task: str, output: str) -> None:
    replay = Replay(walk=finished.walk, task=task, store=f"s3://{BUCKET}/read-only", change=with_read_only_root)
    assert replay.run()[output]["digest"] == digest(finished, task, output)


def with_scratch_for_its_user(pod: dict[str, Any]) -> dict[str, Any]:
    """The pod with a read-only root and the group that Argo's `workflowDefaults` add: a new volume belongs to root."""
    changed = with_read_only_root(pod)
    return {**changed, "spec": {**changed["spec"], "securityContext": {"fsGroup": IMAGE_USER}}}


@pytest.fixture
def behind_a_firewall(cluster: Cluster, servers: Servers) -> None:
    """S3 by TLS, with a certificate of an authority that no image knows, and proxies that lead nowhere."""
    authority, certificate = private_certificates("s3-private")
    Door(cluster, "s3-private", "s3", 8333, servers_image(), certificate)
    cluster.add_secret("storm-s3-private", s3_secret(servers, "https://s3-private:8333"))
    cluster.add_files("company-ca", {"ca.crt": base64.b64encode(authority.encode()).decode()})
    cluster.add_values("proxies", {"HTTP_PROXY": PROXY, "HTTPS_PROXY": PROXY, "NO_PROXY": "s3-private,mlflow"})


def test_stage_runs_by_a_profile_with_scratch_volume_private_authority_and_proxies(
    finished: Finished, recipe: Path, behind_a_firewall: None, tmp_path: Path
) -> None:
    profile = tmp_path / "profile.yaml"
    profile.write_text(yaml.safe_dump({"default": STRICT_PROFILE}), encoding="utf-8")
    executors = compile_executors(recipe, tmp_path / "storm.yaml", "--profile", str(profile))
    replay = Replay(
        walk=replace(finished.walk, executors=executors),
        task="merge",
        store=f"s3://{BUCKET}/firewall",
        secrets={SECRETS["s3"]: "storm-s3-private"},
        change=with_scratch_for_its_user,
    )
    pod = replay.start()
    assert replay.outputs(pod)["merged_model"]["digest"] == digest(finished, "merge", "merged_model")
    cluster = finished.walk.cluster
    environment = {one["name"]: one.get("value") for one in main_container(cluster.pods()[pod])["env"]}
    assert environment["STORM_CACHE"] == "/tmp/storm"  # noqa: S108 (the scratch volume)
    assert cluster.claims() == {f"{pod}-scratch": "Bound"}
    cluster.kill(pod)
