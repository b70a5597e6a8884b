"""What the AWS variables and files say of S3, and what holds where they say nothing.

Addressing, retries, CA bundles, proxies, profiles and endpoints are boto3's own business: what was set there holds.
"""

import os
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from botocore.config import Config
from botocore.configprovider import ConfiguredEndpointProvider

if TYPE_CHECKING:
    from boto3.session import Session

_AMAZONS = (".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu", ".api.aws")


def names(session: "Session", setting: str) -> bool:
    """Whether a variable or the profile's file names the setting, whose default does not count."""
    return bool(os.environ.get(f"AWS_{setting.upper()}")) or setting in _below(session).get_scoped_config()


def addressing(session: "Session") -> Config:
    """The bucket goes into the path on a server of one's own, where nobody says otherwise.

    Bucket names are rarely host names below a self-hosted server.
    """
    said = _below(session).get_config_variable("s3") or {}
    if said.get("addressing_style") or not _has_own_endpoint(session):
        return Config()
    return Config(s3={"addressing_style": "path"})


def _has_own_endpoint(session: "Session") -> bool:
    below = _below(session)
    if below.get_config_variable("ignore_configured_endpoint_urls"):
        return False
    endpoint = ConfiguredEndpointProvider(
        full_config=below.full_config, scoped_config=below.get_scoped_config(), client_name="s3"
    ).provide()
    return bool(endpoint) and not (urlsplit(endpoint).hostname or "").endswith(_AMAZONS)


def _below(session: "Session") -> Any:
    # What files say is known to botocore's session, which boto3's does not show.
    return session._session
