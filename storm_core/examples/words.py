"""The words of a text and 64-bit hashes of words and word n-grams, the same on every machine and in every run.

W: words of a text. N: n-grams of a text.
"""

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Scripts that are written without spaces between words: each character counts as a word.
_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")
# The characters of Unicode's category Cf, which show nothing: soft hyphens, zero-width spaces, marks of direction.
_FORMAT = re.compile(
    "[\u00ad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff"
    "\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0001"
    "\U000e0020-\U000e007f]+"
)
# Any odd number permutes the 64-bit integers; this one's bits are well spread (2^64 divided by the golden ratio).
_BASE = np.uint64(0x9E3779B97F4A7C15)
# Finaliser of MurmurHash3 (fmix64): every bit of the input changes half of those of the output.
_MIXERS = (np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53))
_SHIFT = np.uint64(33)
_MOST_REMEMBERED = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Words:
    """The words of one text in order, and their hashes, (W,)."""

    words: Sequence[str]
    hashes: "NDArray[np.uint64]"


def words_of(text: str) -> list[str]:
    """The words of a text in order, folded, without punctuation."""
    return _WORD.findall(fold(text))


def fold(text: str) -> str:
    """The text without characters that show nothing, and without differences of case, composition and typography.

    Compatibility caseless matching as the Unicode Standard defines it (section 3.13, D146), then composed: NFKC.
    """
    if text.isascii():
        return text.lower()
    folded = unicodedata.normalize("NFD", _FORMAT.sub("", text)).casefold()
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKD", folded).casefold())


class WordHashes(dict[str, int]):
    """BLAKE2b hashes of words, remembered up to a bound: a corpus repeats its words."""

    def __missing__(self, word: str) -> int:
        value = int.from_bytes(blake2b(word.encode(), digest_size=8).digest(), "little")
        self[word] = value
        return value

    def split(self, text: str) -> Words:
        """The words of `text` with their hashes."""
        if len(self) > _MOST_REMEMBERED:
            self.clear()
        words = words_of(text)
        hashes_W = np.fromiter(map(self.__getitem__, words), dtype=np.uint64, count=len(words))
        return Words(words=words, hashes=hashes_W)


def join_hashes(texts: Iterable[Words]) -> "NDArray[np.uint64]":
    """The hashes of the words of several texts, one after the other, (W,)."""
    return np.concatenate([np.empty(0, dtype=np.uint64), *(text.hashes for text in texts)])


def ngram_hashes(hashes_W: "NDArray[np.uint64]", length: int) -> "NDArray[np.uint64]":
    """The hash of each run of `length` words, (N,) = (W - length + 1,), in order; none where the text is shorter."""
    ((_, hashes_N),) = ngram_hashes_by_length(hashes_W, {length})
    return hashes_N


def ngram_hashes_by_length(
    hashes_W: "NDArray[np.uint64]", lengths: Collection[int]
) -> Iterator[tuple[int, "NDArray[np.uint64]"]]:
    """Each of the `lengths`, ascending, with the hashes of all runs of so many words, (N,).

    A polynomial in the hashes of the words, so that the hash of a longer run is made of that of a shorter one.
    """
    rolled_N = hashes_W
    for length in range(1, max(lengths, default=0) + 1):
        if length > 1:
            rolled_N = rolled_N[:-1] * _BASE + hashes_W[length - 1 :]
        if length in lengths:
            yield length, mix(rolled_N)


def mix(values: "NDArray[np.uint64]") -> "NDArray[np.uint64]":
    """The values with their bits mixed, so that any part of them may serve as a hash."""
    for mixer in _MIXERS:
        values = (values ^ (values >> _SHIFT)) * mixer
    return values ^ (values >> _SHIFT)
