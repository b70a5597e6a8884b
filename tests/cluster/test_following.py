"""Following a job whose course the API server tells, look by look; documents as a real one gave them."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from storm_core.cluster import following, patience
from storm_core.cluster.api import AwayError
from storm_core.cluster.errors import ClusterError
from storm_core.cluster.following import Ending, follow
from storm_core.heartbeat import Activity

RECORDED = json.loads(Path(__file__).with_name("recorded.json").read_text(encoding="utf-8"))
COMPLETE = [{"type": "Complete", "status": "True", "reason": "AllJobsCompleted"}]


class Looks:
    """Stands in for the API server: a case for each look, the last one again and again."""

    def __init__(self, *cases: Any) -> None:
        self._cases: Iterator[Any] = iter([*cases[:-1], *[cases[-1]] * 1000])
        self._case: Any = None
        self.deleted: list[str] = []

    def job(self, name: str) -> Any:
        self._case = next(self._cases)
        if isinstance(self._case, Exception):
            raise self._case
        return self._case and self._case["job"]

    def pods(self, selector: str) -> Any:
        return self._case["pods"]

    def events(self) -> Any:
        return self._case["events"]

    def log(self, *_: Any) -> str:
        return ""

    def delete_job(self, name: str, uid: str) -> None:
        self.deleted.append(uid)


def case(name: str, **changes: Any) -> Any:
    """A recorded case, as one and the same job."""
    made = copy.deepcopy(RECORDED[name])
    made["job"]["metadata"] |= {"uid": "1", **changes}
    return made


def complete() -> Any:
    made = case("memory")
    made["pods"] = []
    made["job"]["status"]["conditions"] = COMPLETE
    return made


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "_SECONDS_BETWEEN_LOOKS", 0.01)
    monkeypatch.setattr(patience, "_SECONDS_BETWEEN_ATTEMPTS", 0.01)


def watch(*cases: Any) -> tuple[Ending, Any]:
    api: Any = Looks(*cases)
    return follow(api, case("image")["job"], Activity("train")), api


def test_what_is_waited_for_is_said_when_it_changes(capsys: pytest.CaptureFixture[str]) -> None:
    ending, _ = watch(case("quota"), case("quota"), case("unschedulable"), complete())
    said = capsys.readouterr().err.splitlines()
    assert [line.split(":")[1] for line in said] == [
        " the namespace's quota refuses its pods",
        " no node takes its pods",
    ]
    assert ending == Ending(complete=True)


def test_failed_job_ends_with_its_reason() -> None:
    ending, _ = watch(case("unfollowed"))
    assert ending.unfollowed
    assert ending.reason.endswith("its last checkpoint is in the store")


def test_image_that_does_not_come_ends_the_waiting_and_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "_HOPELESS_SECONDS", 0.1)
    api: Any = Looks(case("image"))
    with pytest.raises(ClusterError, match="cannot begin: its image cannot be had: ImagePullBackOff"):
        follow(api, case("image")["job"], Activity("train"))
    assert api.deleted == ["1"]


def test_queued_job_is_waited_for_without_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "_HOPELESS_SECONDS", 0.0)
    ending, _ = watch(*[case("queued")] * 50, complete())
    assert ending.complete


def test_api_server_that_is_away_is_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    ending, _ = watch(AwayError("503"), AwayError("503"), complete())
    assert ending.complete
    said = capsys.readouterr().err
    assert said.startswith("the Kubernetes API does not answer (503); waits for it\nthe Kubernetes API answers again")


def test_deleted_job_ends_the_component() -> None:
    with pytest.raises(ClusterError, match="was deleted"):
        watch(case("unschedulable"), None)


def test_job_that_another_attempt_replaced_is_followed(capsys: pytest.CaptureFixture[str]) -> None:
    other = complete()
    other["job"]["metadata"]["uid"] = "2"
    ending, _ = watch(case("unschedulable"), other)
    assert ending.complete
    assert "was replaced by another attempt" in capsys.readouterr().err
