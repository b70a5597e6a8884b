"""Quantities as Kubernetes writes them, of the forms that KFP's SDK takes too."""

import re
from decimal import Decimal

_PROCESSORS = re.compile(r"\d{1,6}(\.\d{1,3})?|\d{1,9}m", re.ASCII)
_BYTES = re.compile(r"([1-9]\d{0,8})(Ki|Mi|Gi|Ti|M|G|T)", re.ASCII)
_FACTORS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "M": 10**6, "G": 10**9, "T": 10**12}


def is_processors(text: str) -> bool:
    """Whether the text is a number of processors above 0, no finer than a thousandth: `2`, `0.5`, `500m`."""
    return bool(_PROCESSORS.fullmatch(text)) and processors(text) > 0


def processors(text: str) -> Decimal:
    """The number of processors that the text says."""
    return Decimal(text.removesuffix("m")) / (1000 if text.endswith("m") else 1)


def is_bytes(text: str) -> bool:
    """Whether the text is a whole number above 0 with a unit: `512Mi`, `24Gi`, `2T`.

    Of the units that Kubernetes knows, KFP refuses `k`, and Kubernetes refuses the `K` that KFP takes.
    """
    return bool(_BYTES.fullmatch(text))


def bytes_of(text: str) -> int:
    """The number of bytes that the text says."""
    found = _BYTES.fullmatch(text)
    if not found:
        raise ValueError(f"{text!r} is no number of bytes")
    return int(found[1]) * _FACTORS[found[2]]
