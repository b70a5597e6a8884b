"""Two teams in one bucket, each with the rights of `manifests/bucket/team_policy.json` and no others."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.client import BaseClient

from pipelines.s3_server import S3Server
from storm_core.errors import InputError, StoreError
from storm_core.execution import execute
from storm_core.promotion.config import GATE, GateConfig
from storm_core.stores.s3_rights import RIGHT_OF
from tests.s3_clients import administrator
from tests.stores.conftest import Storm, make, write_tree
from tests.stores.crashing import digest_of
from tests.stores.teams import BUCKET, ONE, OTHER, log_in, objects, policy, rights, store

READING = "s3:GetObject", "s3:ListBucket"
READER = "reader"
# SeaweedFS gives these to whoever may put an object.
NOT_TOLD_APART = "s3:ListMultipartUploadParts", "s3:AbortMultipartUpload"
# Without it an upload that was broken off is not found, and all goes on.
SPARED = "s3:ListBucketMultipartUploads"
# Two parts of an upload.
BYTES = 9_000_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    users = {ONE: policy(ONE), OTHER: policy(OTHER), READER: _reading(ONE)}
    users |= {_without(right): policy(ONE, without=right) for right in rights()}
    with S3Server(tmp_path_factory.mktemp("s3"), policies=users) as running:
        administrator(running).create_bucket(Bucket=BUCKET)
        yield running


def _without(right: str) -> str:
    return f"without-{right.removeprefix('s3:')}"


def _reading(team: str) -> str:
    text = policy(team)
    for right in set(rights()) - set(READING):
        text = text.replace(f'"{right}"', '"s3:GetBucketLocation"')
    return text


@pytest.fixture
def as_user(server: S3Server, place: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Work as a user, in the store of the first team unless another is named."""

    def become(user: str, team: str = ONE) -> None:
        log_in(monkeypatch, server, user, team, tmp_path / "caches")

    return become


def work(storm: Storm, place: str, directory: Path, inputs: dict[str, list[str]], client: Any) -> list[str]:
    """What a team does with its store at `place`: it computes, pushes, goes on with an upload, looks, pulls, collects.

    Returns the first line that says why not; none where all of it went well.
    """
    (directory / "big").mkdir(parents=True)
    big = write_tree(directory / "big", {"model.safetensors": BYTES})
    for digest in (digest_of(big), "0" * 64):
        client.create_multipart_upload(Bucket=BUCKET, Key=f"{place}/model/{digest}/model.safetensors")
    try:
        execute(GATE, GateConfig(), inputs=inputs, outputs={"decision": directory / "decision"}, value_files={})
    except (InputError, StoreError) as error:
        return [str(error)]
    pushed = f"{store(place)}/model/{digest_of(big)}"
    for arguments in (
        ("push", str(big), "--kind", "model"),
        ("ls",),
        ("show", pushed),
        ("lineage", pushed),
        ("verify",),
        ("pull", pushed, str(directory / "pulled")),
        ("gc", "--keep-days", "0", "--keep", str(directory / "decision"), "--delete"),
    ):
        code, out, said = storm(*arguments)
        if code:
            return [*out.splitlines(), *said.splitlines()]
    return []


def test_rights_of_the_template_are_those_that_a_team_s_work_asks_for(
    server: S3Server,
    as_user: Callable[..., None],
    storm: Storm,
    evaluations: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = f"{ONE}/all"
    as_user(ONE, place)
    asked: set[str] = set()
    request = BaseClient._make_api_call  # type: ignore[attr-defined]

    def recorded(client: Any, operation: str, parameters: Any) -> Any:
        asked.add(RIGHT_OF[operation])
        return request(client, operation, parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", recorded)
    assert work(storm, place, tmp_path / "work", evaluations(), administrator(server)) == []
    assert asked == set(rights()), "no more than what is asked for"
    assert [what for what in objects(server, place).values() if what == "unfinished"] == []


@pytest.mark.parametrize("right", [right for right in rights() if right not in (*NOT_TOLD_APART, SPARED)])
def test_without_one_of_the_rights_the_work_is_refused(
    server: S3Server, as_user: Callable[..., None], storm: Storm, evaluations: Any, tmp_path: Path, right: str
) -> None:
    # A place for each: a lease that its holder has no right to give back holds for a minute.
    place = f"{ONE}/{_without(right)}"
    as_user(_without(right), place)
    refused = work(storm, place, tmp_path / "work", evaluations(), administrator(server))
    assert any(f"denies access to {store(place)}" in line and right in line for line in refused), refused


def test_without_the_right_to_list_uploads_the_work_goes_on(
    server: S3Server, as_user: Callable[..., None], storm: Storm, evaluations: Any, tmp_path: Path
) -> None:
    place = f"{ONE}/{_without(SPARED)}"
    as_user(_without(SPARED), place)
    assert work(storm, place, tmp_path / "work", evaluations(), administrator(server)) == []


def test_two_rights_are_enough_to_read(
    server: S3Server, as_user: Callable[..., None], storm: Storm, tmp_path: Path
) -> None:
    as_user(ONE)
    uri = make(store(ONE), "model", b"for readers")
    before = objects(server, ONE)
    as_user(READER)
    for arguments in (("ls",), ("show", uri), ("lineage", uri), ("verify", uri), ("pull", uri, str(tmp_path / "copy"))):
        code, _, error = storm(*arguments)
        assert code == 0, error
    code, _, error = storm("push", str(write_tree(tmp_path / "other", {"a.bin": 7})), "--kind", "model")
    assert code == 1 and "denies access" in error
    assert objects(server, ONE) == before


@pytest.mark.parametrize(("user", "other"), [(ONE, OTHER), (OTHER, ONE)])
def test_nothing_of_another_team_is_read_written_or_removed(
    server: S3Server, as_user: Callable[..., None], storm: Storm, tmp_path: Path, user: str, other: str
) -> None:
    as_user(other, other)
    uri = make(store(other), "model", f"of {other}".encode())
    administrator(server).create_multipart_upload(Bucket=BUCKET, Key=f"{other}/model/{'1' * 64}/model.safetensors")
    before = objects(server, other)
    as_user(user, user)
    kept = make(store(user), "model", f"of {user}".encode())
    tree = str(write_tree(tmp_path / "mine", {"a.bin": 70}))
    for arguments in (
        ("ls", store(other)),
        ("show", uri),
        ("lineage", uri),
        ("pull", uri, str(tmp_path / "stolen")),
        ("push", tree, store(other), "--kind", "model"),
        ("verify", "--store", store(other)),
        ("gc", store(other), "--keep-days", "0", "--keep", kept, "--delete"),
    ):
        code, _, error = storm(*arguments)
        assert code == 1, arguments
        assert f"denies access to {store(other)}" in error, arguments
        assert "Traceback" not in error
    assert objects(server, other) == before


@pytest.mark.parametrize(("user", "other"), [(ONE, OTHER), (OTHER, ONE)])
def test_garbage_of_one_team_is_collected_beside_another(
    server: S3Server, as_user: Callable[..., None], storm: Storm, user: str, other: str
) -> None:
    as_user(other, other)
    make(store(other), "model", b"of the other team")
    administrator(server).create_multipart_upload(Bucket=BUCKET, Key=f"{other}/model/{'2' * 64}/model.safetensors")
    before = objects(server, other)
    as_user(user, user)
    garbage, kept = (make(store(user), "model", content) for content in (b"garbage", b"kept"))
    assert storm("gc", "--keep-days", "0", "--keep", kept, "--delete")[0] == 0
    left = objects(server, user)
    assert [key for key in left if key in garbage] == []
    assert [key for key in left if f"s3://{BUCKET}/{key}".startswith(f"{kept}/")] != []
    assert objects(server, other) == before
