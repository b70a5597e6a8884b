"""What the AWS variables and files say of S3, and what holds where they say nothing.

Addressing, retries, CA bundles, proxies, profiles and endpoints are boto3's own business: what was set there holds.
What boto3 would find out late, or tell in words that name no setting, is looked at first.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from botocore.config import Config
from botocore.configprovider import ConfiguredEndpointProvider

from storm_core.errors import StoreError
from storm_core.redaction import without_secrets
from storm_core.variables import stray_blank

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


def check_variables() -> None:
    """Refuse a variable of AWS with a blank or a line break around its value, of which no answer would tell.

    Raises:
        StoreError: it names the variable.
    """
    if complaint := stray_blank(name for name in os.environ if name.startswith("AWS_")):
        raise StoreError(complaint)


def check_section(session: "Session") -> None:
    """Refuse a section `s3` of the configuration's file that is none.

    Raises:
        StoreError: it says how one is written.
    """
    section = _below(session).get_scoped_config().get("s3", {})
    if not isinstance(section, dict):
        raise StoreError(
            f"s3 = {section!r} in ~/.aws/config is no section; write `s3 =`, and each setting in a line of its own "
            "below it, indented"
        )


def check_bundle(session: "Session", endpoint: str) -> None:
    """Refuse a file of certificates that is not there, where the server needs it.

    Raises:
        StoreError: it names the file.
    """
    bundle = _below(session).get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE")
    if bundle and endpoint.startswith("https:") and not Path(bundle).exists():
        raise StoreError(f"there is no {bundle}, where AWS_CA_BUNDLE or ca_bundle of ~/.aws/config has certificates")


def load_credentials(session: "Session") -> None:
    """Get the credentials, where there are any: a file, a program or a server that has them may be away.

    Raises:
        BotoCoreError, ClientError, OSError, ValueError: they cannot be had.
    """
    try:
        credentials = session.get_credentials()
        if credentials is not None:
            credentials.get_frozen_credentials()
    except AttributeError as error:  # Of a program's JSON that is no object.
        raise ValueError(f"what credential_process prints are no credentials: {error}") from error


def unusable(error: Exception) -> StoreError:
    """What boto3 says of the configuration, with the variables that have what it complains of."""
    reason = without_secrets(" ".join(str(error).split()))
    # A shorter value may be a part of any word.
    given = {name: value for name, value in os.environ.items() if name.startswith("AWS_") and len(value) > 2}
    look = ", ".join(sorted(name for name, value in given.items() if value in reason))
    look = look or "the variables AWS_*, and the profile in ~/.aws/config"
    return StoreError(f"the AWS configuration cannot be used: {reason}; look at {look}")


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
