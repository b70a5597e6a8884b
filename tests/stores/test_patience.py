"""A server that is away for a while: publishing and opening wait for it, say so once, and give up in the end."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from botocore import exceptions

from storm_core.errors import StoreError
from storm_core.stores import patience, s3_client
from tests.stores.crashing import Work, digest_of, open_artifact, publish
from tests.stores.fault_proxy import Fault, FaultProxy, answer_error, reset_before

AWAY: dict[str, Fault] = {"no answer": reset_before(), "a gateway's answer": answer_error(503, "ServiceUnavailable")}


@pytest.fixture
def tree(small_tree: Path) -> Path:
    return small_tree


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that pauses move on, and nothing else."""
    now = SimpleNamespace(seconds=0.0)

    def sleep(seconds: float) -> None:
        now.seconds += seconds

    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=sleep))
    monkeypatch.setattr(patience, "time", SimpleNamespace(monotonic=lambda: now.seconds))
    return now


@pytest.mark.parametrize("fault", AWAY)
def test_server_that_is_back_after_a_minute_is_waited_for(
    fault: str, work: Work, fresh: Work, proxy: FaultProxy, clock: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    # Six attempts of boto3's, and those of a minute.
    proxy.spoil(AWAY[fault], method="GET", path=r"manifest\.json$", times=17)
    uri = publish(work)
    assert proxy.unused_faults() == 0
    assert 55 < clock.seconds < s3_client._PATIENCE_SECONDS
    said = [line for line in capsys.readouterr().err.splitlines() if "does not answer" in line]
    assert said == [f"the S3 server at {proxy.endpoint} does not answer; it is tried for 120 s"]
    assert open_artifact(replace(fresh, uri=uri)) == digest_of(work.tree)


@pytest.mark.parametrize("fault", AWAY)
def test_server_that_stays_away_is_an_error_in_the_end(
    fault: str, work: Work, proxy: FaultProxy, clock: SimpleNamespace
) -> None:
    proxy.spoil(AWAY[fault], method="GET", path=r"manifest\.json$", times=999)
    with pytest.raises(StoreError, match=r"manifest\.json"):
        publish(work)
    assert 120 <= clock.seconds < 150


@pytest.mark.parametrize(
    ("error", "is_away"),
    [
        (exceptions.EndpointConnectionError(endpoint_url="http://x"), True),
        (exceptions.ConnectionClosedError(endpoint_url="http://x"), True),
        (exceptions.ReadTimeoutError(endpoint_url="http://x"), True),
        (exceptions.SSLError(endpoint_url="https://x", error=OSError("certificate verify failed")), False),
        (exceptions.HTTPClientError(error="Invalid header value"), False),
    ],
)
def test_what_time_does_not_mend_is_not_waited_for(error: Exception, is_away: bool) -> None:
    assert patience._is_away(None, error) == is_away


def test_server_that_fails_by_itself_is_not_waited_for(work: Work, proxy: FaultProxy, clock: SimpleNamespace) -> None:
    proxy.spoil(answer_error(500, "InternalError"), method="GET", path=r"manifest\.json$", times=999)
    with pytest.raises(StoreError):
        publish(work)
    assert clock.seconds < 32
