"""The rule about unfinished uploads that `manifests/` has for a bucket, on a real server."""

import json
from pathlib import Path
from typing import Any

from tests.stores.conftest import S3Place

RULE = Path(__file__).parents[2] / "manifests" / "bucket" / "unfinished_uploads.json"


def test_server_takes_the_rule_of_a_bucket_and_gives_it_back(place: S3Place) -> None:
    rule: Any = json.loads(RULE.read_text(encoding="utf-8"))
    place.client.create_bucket(Bucket="models")
    place.client.put_bucket_lifecycle_configuration(Bucket="models", LifecycleConfiguration=rule)
    assert place.client.get_bucket_lifecycle_configuration(Bucket="models")["Rules"] == rule["Rules"]
