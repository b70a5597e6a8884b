"""Clients of a server of the tests' own, which know no other test's server: boto3's default session would."""

from typing import Any

import boto3

from pipelines.s3_server import WRITER, S3Server


def administrator(server: S3Server) -> Any:
    """A client that may do everything."""
    keys = server.environment(WRITER)
    return boto3.session.Session().client(
        "s3",
        endpoint_url=server.endpoint,
        aws_access_key_id=keys["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
        region_name=keys["AWS_REGION"],
    )
