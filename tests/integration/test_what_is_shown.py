"""What the KFP UI shows of each stage that ran in a pod: its numbers, and its page in a browser."""

from pathlib import Path

import pytest

from storm_core.executor_output import PAGE_TYPE
from storm_core.manifest import MANIFEST_NAME, Manifest, read_manifest
from tests.integration.browser import show
from tests.integration.conftest import Finished
from tests.integration.pods import Ended

pytestmark = pytest.mark.cluster


def results(ended: Ended) -> list[Manifest]:
    """The manifests of what the stage made."""
    listed = ended.executor_input["outputs"]["artifacts"].values()
    files = [Path(artifacts["artifacts"][0]["uri"]) / MANIFEST_NAME for artifacts in listed]
    return [read_manifest(file) for file in files if file.is_file()]


def page(ended: Ended) -> str:
    """The page that the pod handed to KFP."""
    (artifact,) = ended.executor_output["artifacts"]["page"]["artifacts"]
    assert artifact["type"]["schemaTitle"] == PAGE_TYPE
    (given,) = ended.executor_input["outputs"]["artifacts"]["page"]["artifacts"]
    return Path(given["uri"]).read_text(encoding="utf-8")


def test_numbers_of_every_pod_are_those_of_its_results(finished: Finished) -> None:
    for ended in finished.walk.ended:
        (metrics,) = ended.executor_output["artifacts"]["metrics"]["artifacts"]
        made = results(ended)
        assert made, ended.task
        for manifest in made:
            assert manifest.metrics == metrics["metadata"], ended.task


def test_page_of_every_pod_opens_clean_in_a_frame_and_asks_the_network_for_nothing(finished: Finished) -> None:
    for ended in finished.walk.ended:
        shown = show(page(ended))
        assert (shown.errors, shown.requests) == ([], []), ended.task
        assert shown.text.strip(), ended.task
