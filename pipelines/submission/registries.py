"""The digest of an image that is named by tag, as its registry has it now.

The requests are those of the OCI distribution specification 1.1 ("Pulling manifests"), with the token that a registry
gives anybody for a public image (https://distribution.github.io/distribution/spec/auth/token/).
"""

import hashlib
import re
from http import HTTPStatus

import requests

# An image for several architectures is an index; a node chooses from it, so its digest is the one to name.
_MANIFESTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_TIMEOUT_SECONDS = 15
_ON_THIS_MACHINE = re.compile(r"(localhost|127\.\d+\.\d+\.\d+)(:\d+)?")


class RegistryError(RuntimeError):
    """A registry that does not tell an image's digest. One line."""


def with_digest(image: str) -> str:
    """`registry/path:tag@sha256:...` of `registry/path:tag`.

    Raises:
        RegistryError: the name has no registry or no tag, or the registry does not hand out the image's manifest.
    """
    named = re.fullmatch(r"(?P<host>[^/]*[.:][^/]*|localhost)/(?P<path>[^:@]+):(?P<tag>[\w.-]+)", image)
    if not named:
        raise RegistryError("its name has no registry; ours get one by --registry and --digests")
    # As Docker does: a registry on this machine needs no certificate.
    scheme = "http" if _ON_THIS_MACHINE.fullmatch(named["host"]) else "https"
    try:
        content = _manifest(f"{scheme}://{named['host']}/v2/{named['path']}/manifests/{named['tag']}")
    except (requests.RequestException, ValueError) as error:
        raise RegistryError(f"{named['host']} does not answer ({type(error).__name__})") from error
    # Worked out from the bytes, as the digest in the answer's header is only what a registry says of them.
    return f"{image}@sha256:{hashlib.sha256(content).hexdigest()}"


def _manifest(url: str) -> bytes:
    headers = {"Accept": ", ".join(_MANIFESTS)}
    response = _get(url, headers)
    if response.status_code == HTTPStatus.UNAUTHORIZED:
        response = _get(url, {**headers, "Authorization": f"Bearer {_token(response)}"})
    if response.status_code != HTTPStatus.OK:
        raise RegistryError(f"{url} answers {response.status_code} {response.reason}")
    if response.headers.get("Content-Type", "").partition(";")[0] not in _MANIFESTS:
        raise RegistryError(f"{url} is no registry: it answers with {response.headers.get('Content-Type')}")
    content: bytes = response.content
    return content


def _token(refused: requests.Response) -> str:
    challenge = dict(re.findall(r'(\w+)="([^"]*)"', refused.headers.get("WWW-Authenticate", "")))
    if "realm" not in challenge:
        raise RegistryError(f"{refused.url} asks for a login")
    asked = {key: challenge[key] for key in ("service", "scope") if key in challenge}
    response = _get(challenge["realm"], {}, asked)
    if response.status_code != HTTPStatus.OK:
        raise RegistryError(f"{refused.url} is not public: its token is refused with {response.status_code}")
    answer = response.json()
    return str(answer.get("token") or answer.get("access_token"))


def _get(url: str, headers: dict[str, str], query: dict[str, str] | None = None) -> requests.Response:
    # `auth` keeps requests from sending what ~/.netrc has for the host.
    return requests.get(url, query, headers=headers, timeout=_TIMEOUT_SECONDS, auth=lambda request: request)
