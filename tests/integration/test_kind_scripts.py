"""What `make cluster` does beyond applying manifests, on the cluster: the secret of the store, made of KFP's own."""

import base64
import subprocess
from collections.abc import Iterator

import pytest

from pipelines.secrets import SECRETS
from tests.integration.cluster import Cluster, namespace
from tests.integration.overlays import MANIFESTS

pytestmark = pytest.mark.cluster

KEY = "secret=key/with+signs=="


@pytest.fixture
def trial() -> Iterator[Cluster]:
    with namespace() as made:
        yield made


def make_secret(cluster: Cluster) -> "subprocess.CompletedProcess[str]":
    command = [str(MANIFESTS / "kind" / "store_secret"), "--namespace", cluster.namespace]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_secret_of_the_store_is_made_of_kfp_s_and_follows_it(trial: Cluster) -> None:
    trial.add_secret("mlpipeline-minio-artifact", {"accesskey": "kfp-user", "secretkey": KEY})
    for key in (KEY, KEY, "another"):
        changed = {"stringData": {"secretkey": key}}
        trial.api.patch_namespaced_secret("mlpipeline-minio-artifact", trial.namespace, changed)
        made = make_secret(trial)
        assert made.returncode == 0, made.stderr
        assert key not in made.stdout + made.stderr
        data = trial.api.read_namespaced_secret("storm-s3", trial.namespace).data
        kept = {name: base64.b64decode(value).decode() for name, value in data.items()}
        assert (kept["AWS_ACCESS_KEY_ID"], kept["AWS_SECRET_ACCESS_KEY"]) == ("kfp-user", key)
        assert set(kept) <= {*SECRETS["s3"].required, *SECRETS["s3"].optional}


def test_without_kfp_s_secret_none_is_made(trial: Cluster) -> None:
    made = make_secret(trial)
    assert made.returncode == 1
    assert '"mlpipeline-minio-artifact" not found' in made.stderr
    assert [one.metadata.name for one in trial.api.list_namespaced_secret(trial.namespace).items] == []
