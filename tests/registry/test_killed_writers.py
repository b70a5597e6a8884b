"""What writers that were killed in the middle of a registration left is put right by the next one."""

import random
from pathlib import Path

import pytest
from mlflow import MlflowClient

from storm_core.registry.model_versions import _create_logged_model, _create_version, register_version
from tests.registry.racing import entry

NAME = "storm"
SEED = 5


@pytest.fixture
def client(registry: Path) -> MlflowClient:
    uri = f"sqlite:///{registry}"
    client = MlflowClient(uri, uri)
    client.create_registered_model(NAME)
    return client


def check_one_of_each(client: MlflowClient, digests: int) -> None:
    """One version a digest, each with a logged model of its own, and no others."""
    versions = client.search_model_versions(f"name = '{NAME}'")
    assert sorted(one.tags["storm.digest"] for one in versions) == [entry(n).digest for n in range(digests)]
    logged = client.search_logged_models(["0"], max_results=100)
    assert sorted(one.model_id for one in logged) == sorted(one.tags["storm.logged_model"] for one in versions)


def test_versions_beside_the_first_and_models_without_one_are_taken_back(client: MlflowClient) -> None:
    generator, run = random.Random(SEED), client.create_run("0").info.run_id  # noqa: S311 (no secret)
    for number in range(4):
        if generator.random() < 0.5:
            _create_logged_model(client, run, NAME, entry(number))
        for _ in range(generator.randrange(4)):
            _create_version(client, run, NAME, entry(number))
        first = [
            one
            for one in client.search_model_versions(f"name = '{NAME}'")
            if one.tags["storm.digest"] == entry(number).digest
        ]
        told = register_version(client, run, NAME, entry(number))
        assert not first or told == str(min(int(one.version) for one in first))
    check_one_of_each(client, 4)


def test_version_with_an_alias_stays_beside_the_first(client: MlflowClient) -> None:
    run = client.create_run("0").info.run_id
    made = [_create_version(client, run, NAME, entry(0)).version for _ in range(3)]
    client.set_registered_model_alias(NAME, "mine", made[1])
    assert register_version(client, run, NAME, entry(0)) == str(made[0])
    assert {one.version for one in client.search_model_versions(f"name = '{NAME}'")} == {made[0], made[1]}
