"""The rule about unfinished uploads that docs/store.md gives, on a real server."""

import json
import re
from pathlib import Path
from typing import Any

from tests.stores.conftest import S3Place

DOCUMENT = Path(__file__).parents[2] / "docs" / "store.md"


def test_server_takes_the_rule_that_the_documentation_gives(place: S3Place) -> None:
    (block,) = re.findall(r"```json\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.S)
    rule: Any = json.loads(block)
    place.client.create_bucket(Bucket="models")
    place.client.put_bucket_lifecycle_configuration(Bucket="models", LifecycleConfiguration=rule)
    assert place.client.get_bucket_lifecycle_configuration(Bucket="models")["Rules"] == rule["Rules"]
