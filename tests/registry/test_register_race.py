"""Two processes that register one digest at the same time make one version; `postgresql_lane.py` has PostgreSQL."""

from pathlib import Path

import pytest

from tests.registry.racing import check


@pytest.mark.nightly
def test_two_processes_make_one_version_of_a_digest_on_sqlite(registry: Path) -> None:
    check(f"sqlite:///{registry}")
