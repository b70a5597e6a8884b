"""Digests that two processes register at the same time, fifty times, started by a barrier."""

import multiprocessing

from mlflow import MlflowClient

from storm_core.registry.model_versions import ModelEntry, find_version, register_version

CONTEXT = multiprocessing.get_context("spawn")
ROUNDS, WRITERS = 50, 2
_SECONDS = 240


def entry(number: int) -> ModelEntry:
    return ModelEntry(
        role="merged",
        digest=f"{number:064x}",
        source=f"s3://store/model/{number:064x}",
        tags={"storm.gate": "passed"},
        metrics={"tools": 0.65},
        description="A model.",
    )


def register_in_rounds(uri: str, barrier, answers) -> None:
    client = MlflowClient(uri, uri)
    run = client.create_run("0").info.run_id
    for number in range(ROUNDS):
        barrier.wait(_SECONDS)
        answers.put((number, register_version(client, run, "storm", entry(number))))


def check(uri: str) -> None:
    """Register fifty digests by two processes each, and look at what there is."""
    barrier, answers = CONTEXT.Barrier(WRITERS), CONTEXT.Queue()
    writers = [CONTEXT.Process(target=register_in_rounds, args=(uri, barrier, answers)) for _ in range(WRITERS)]
    for writer in writers:
        writer.start()
    told = [answers.get(timeout=_SECONDS) for _ in range(ROUNDS * WRITERS)]
    for writer in writers:
        writer.join(_SECONDS)
    client = MlflowClient(uri, uri)
    versions = client.search_model_versions("name = 'storm'")
    assert sorted(version.tags["storm.digest"] for version in versions) == [entry(n).digest for n in range(ROUNDS)]
    for number, version in told:
        found = find_version(client, "storm", entry(number).digest)
        assert found is not None
        assert str(found.version) == version
    logged = client.search_logged_models(["0"], max_results=2 * ROUNDS)
    assert {one.model_id for one in logged} == {version.tags["storm.logged_model"] for version in versions}
