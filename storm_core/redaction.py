"""Text without secrets: users in addresses, and what variables hold whose names say that it is secret."""

import os
import re
from collections.abc import Iterator
from urllib.parse import unquote

# A password that holds a slash is none that an address may have; a port is followed by a slash, too.
_USER_IN_URL = re.compile(r"//(?:[^/@\s]+|[^/:@\s]*:(?!\d+/)[^@\s]+)@")
_PASSWORD_IN_URL = re.compile(r"[a-z][a-z0-9+.-]*://[^/:@\s]*:(?P<password>.+)@", re.IGNORECASE)
_SECRET_NAME = re.compile(
    r".*(PASSWORD|PASSWD|TOKEN|SECRET|(SECRET|STORAGE)_ACCESS_KEY|API_KEY|CUSTOMER_KEY_BASE64|CONNECTION_STRING)"
)
# By which a signed address is as good as a password: Amazon's, Google's and Azure's, and tokens as some servers take.
_SIGNATURE_IN_URL = re.compile(
    r"(?<=[?&])(X-(?:Amz|Goog)-(?:Signature|Security-Token|Credential)|Signature|sig|(?:access_|api_)?(?:token|key))="
    r"[^&\s'\"<>]+",
    re.IGNORECASE,
)
# A shorter one may be a part of any word.
_LEAST_CHARACTERS = 6


def without_secrets(text: str) -> str:
    """The text without users of addresses, passwords, tokens and signatures."""
    for secret in sorted(_secrets(), key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", "***", text)
    return _SIGNATURE_IN_URL.sub(r"\1=***", _USER_IN_URL.sub("//", text))


def _secrets() -> Iterator[str]:
    for name, value in os.environ.items():
        if in_address := _PASSWORD_IN_URL.match(value):
            yield from _spellings(in_address["password"])
        elif _SECRET_NAME.fullmatch(name):
            yield from _spellings(value)


def _spellings(secret: str) -> Iterator[str]:
    bare = secret.strip()
    if len(bare) >= _LEAST_CHARACTERS:
        yield from {bare, unquote(bare)}
