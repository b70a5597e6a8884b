"""Teams on one S3 server: a user each, whose rights are those of `manifests/bucket/team_policy.json`."""

import base64
import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from pipelines.s3_server import S3Server
from tests.s3_clients import administrator

TEMPLATE = Path(__file__).parents[2] / "manifests" / "bucket" / "team_policy.json"
BUCKET = "models"
# The name of one is how the other's begins.
ONE, OTHER = "team", "team-b"


def policy(team: str, without: str = "") -> str:
    """The template's rights for a team's prefix; one of them may be left out."""
    document: Any = json.loads(TEMPLATE.read_text(encoding="utf-8").replace(f"{OTHER}/", f"{team}/"))
    for statement in document["Statement"]:
        named = statement["Action"]
        statement["Action"] = [one for one in ([named] if isinstance(named, str) else named) if one != without]
    document["Statement"] = [one for one in document["Statement"] if one["Action"]]
    return json.dumps(document)


def rights() -> list[str]:
    """Every right that the template gives."""
    statements = json.loads(policy(OTHER))["Statement"]
    return [action for statement in statements for action in statement["Action"]]


def store(team: str) -> str:
    """URI of the team's store."""
    return f"s3://{BUCKET}/{team}"


def log_in(patch: pytest.MonkeyPatch, server: S3Server, user: str, team: str, cache: Path) -> None:
    """Work as this user in the team's store, on a machine of its own."""
    for name, value in server.environment(user).items():
        patch.setenv(name, value)
    patch.setenv("STORM_STORE", store(team))
    patch.setenv("STORM_CACHE", str(cache / user))


def add_mlflow_user(url: str, administrator: str, passwords: dict[str, str], name: str) -> None:
    """Make a user of an MLflow server that has users, as its administrator."""
    login = base64.b64encode(f"{administrator}:{passwords[administrator]}".encode()).decode()
    request = urllib.request.Request(  # noqa: S310 (a server of the tests)
        f"{url}/api/2.0/mlflow/users/create",
        json.dumps({"username": name, "password": passwords[name]}).encode(),
        {"Content-Type": "application/json", "Authorization": f"Basic {login}"},
    )
    urllib.request.urlopen(request, timeout=60).close()  # noqa: S310


def objects(server: S3Server, team: str) -> dict[str, str]:
    """What lies in the team's store: the ETag of every object, and `unfinished` for uploads."""
    client, prefix = administrator(server), f"{team}/"
    found = client.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
    uploads = client.list_multipart_uploads(Bucket=BUCKET, Prefix=prefix).get("Uploads", [])
    return {one["Key"]: one["ETag"] for one in found} | {one["Key"]: "unfinished" for one in uploads}
