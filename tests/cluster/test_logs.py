"""The log of rank 0, asked for again and again: each line is passed on once."""

from typing import Any

import pytest

from storm_core.cluster.api import AwayError
from storm_core.cluster.logs import FirstRankLog, message_of

INDEX = "batch.kubernetes.io/job-completion-index"


class Pods:
    """Stands in for the API server: what each pod has written so far."""

    def __init__(self) -> None:
        self.logs: dict[str, list[str]] = {}
        self.asked: list[int | None] = []
        self.away = False

    def write(self, pod: str, second: int, text: str) -> None:
        self.logs.setdefault(pod, []).append(f"2026-11-29T10:00:{second:02d}.000000000Z {text}")

    def log(self, pod: str, container: str, since_seconds: int | None) -> str:
        self.asked.append(since_seconds)
        if self.away:
            raise AwayError("503")
        return "\n".join(self.logs.get(pod, []))


def pod(name: str, index: str, created: int) -> dict[str, Any]:
    metadata = {"name": name, "uid": name, "labels": {INDEX: index}, "creationTimestamp": f"2026-11-29T10:0{created}"}
    return {"metadata": metadata}


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_lines_of_the_first_node_are_passed_on_once_whatever_overlaps(capsys: pytest.CaptureFixture[str]) -> None:
    api: Any = Pods()
    log = FirstRankLog(api, None)
    pods = [pod("second", "1", 0), pod("first", "0", 0)]
    api.write("first", 1, "step 1")
    api.write("second", 1, "not of rank 0")
    log.pass_on(pods)
    api.write("first", 2, "step 2")
    log.pass_on(pods)
    log.pass_on(pods)
    assert said(capsys) == ["step 1", "step 2"]
    assert api.asked[0] is None
    assert api.asked[1] < 30


def test_pod_of_the_next_attempt_is_read_from_its_start(capsys: pytest.CaptureFixture[str]) -> None:
    api: Any = Pods()
    log = FirstRankLog(api, 60)
    api.write("old", 50, "step 50")
    log.pass_on([pod("old", "0", 0)])
    api.write("new", 10, "continues after step 40")
    log.pass_on([pod("old", "0", 0), pod("new", "0", 1)])
    assert said(capsys) == ["step 50", "continues after step 40"]
    assert api.asked[0] is not None
    assert api.asked[1] is None


def test_log_that_cannot_be_had_now_is_asked_for_again(capsys: pytest.CaptureFixture[str]) -> None:
    api: Any = Pods()
    log = FirstRankLog(api, None)
    api.write("first", 1, "step 1")
    api.away = True
    log.pass_on([pod("first", "0", 0)])
    api.away = False
    log.pass_on([pod("first", "0", 0)])
    assert said(capsys) == ["step 1"]


def test_json_line_of_a_node_is_one_event_here_too() -> None:
    assert message_of('{"time": "t", "level": "warning", "task": "train", "message": "slow"}') == ("slow", "warning")
    assert message_of("{not json") == ("{not json", "info")
    assert message_of('{"loss": 1}') == ('{"loss": 1}', "info")
