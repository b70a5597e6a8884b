"""What the AWS variables and files say of S3, and what holds where they say nothing.

Addressing, retries, CA bundles, proxies, profiles and endpoints are boto3's own business: what was set there holds.
"""

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from botocore.config import Config

if TYPE_CHECKING:
    from boto3.session import Session
    from mypy_boto3_s3 import S3Client

_AMAZONS = (".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu", ".api.aws")


def names(session: "Session", setting: str) -> bool:
    """Whether a variable or the profile's file names the setting; boto3's defaults do not count."""
    # boto3's types know nothing of the session below it, which alone tells a default from what was said.
    return _below(session).get_config_variable(setting, methods=("env", "config")) is not None


def needs_path_style(session: "Session", client: "S3Client") -> bool:
    """Whether the bucket goes into the path: on a server of one's own, where nobody says otherwise.

    Bucket names are rarely host names below a self-hosted server.
    """
    asked = _below(session).get_config_variable("s3") or {}
    return not asked.get("addressing_style") and not is_amazons(client)


def is_amazons(client: "S3Client") -> bool:
    """Whether the client asks Amazon's own servers."""
    return (urlsplit(client.meta.endpoint_url).hostname or "").endswith(_AMAZONS)


def with_path_style(config: Config) -> Config:
    """The configuration with the bucket in the path."""
    return config.merge(Config(s3={"addressing_style": "path"}))


def _below(session: "Session") -> Any:
    return session._session
