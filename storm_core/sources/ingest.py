"""The first pass of `prepare`: read each source once, drop what is no good by itself, spool and index the rest."""

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from storm_core.artifacts import Artifact
from storm_core.examples.words import WordHashes, Words, join_hashes, mix, ngram_hashes
from storm_core.progress import progress
from storm_core.records import Example, write_examples
from storm_core.sources.config import PrepareConfig
from storm_core.sources.decontamination.held_out import HeldOut
from storm_core.sources.deduplication.distinctions import distinctions_of
from storm_core.sources.deduplication.spool_index import SpoolIndex
from storm_core.sources.evaluation_sets import evaluation_sources
from storm_core.sources.files.rows import UNFIT, Rejected, TooLong
from storm_core.sources.ledger import Ledger
from storm_core.sources.reading import read_source
from storm_core.sources.references import Source

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Ingest:
    """Reads sources into a spool.

    Attributes:
        origins: digest of each artifact that was opened besides the data directory, by URI.
        held_out_account: rows read and malformed of each evaluation set.
    """

    def __init__(self, config: PrepareConfig, data: Artifact, ledger: Ledger) -> None:
        self.origins: dict[str, str] = {}
        self.held_out_account: dict[str, Any] = {}
        self._config = config
        self._data = data
        self._ledger = ledger
        self._hashes = WordHashes()
        self._held_out = HeldOut(config.contamination_words, self._hashes)

    def read_held_out(self) -> None:
        """Read the evaluation data; malformed rows are limited as in the sources.

        Raises:
            InputError: a set is misspelt, missing or malformed beyond `max_rejected_fraction`.
        """
        for source in evaluation_sources(self._config.held_out, self._config.held_out_suites, self._data):
            read = malformed = 0
            rows = read_source(source, self._open(source), self._config.max_rejected_fraction)
            for item in progress(rows, total=None, description=f"hold out {source.name}", unit="rows"):
                read += 1
                if isinstance(item, Example):
                    self._held_out.add(source.name, item)
                else:
                    malformed += 1
            self.held_out_account[source.name] = {"read": read, "malformed": malformed}

    def spool(self, sources: Sequence[Source], path: Path, spool_index: SpoolIndex) -> None:
        """Write the examples that are neither malformed, nor unfit, nor held out, nor too long, and their spool index.

        Raises:
            InputError: a source is missing, or malformed beyond `max_rejected_fraction`.
        """
        write_examples(path, self._sift(sources, spool_index))

    def _sift(self, sources: Sequence[Source], spool_index: SpoolIndex) -> Iterator[Example]:
        for position, source in enumerate(sources):
            rows = read_source(
                source, self._open(source), self._config.max_rejected_fraction, self._config.max_characters
            )
            for item in progress(rows, total=None, description=f"read {source.name}", unit="rows"):
                self._ledger.count_read(source.name)
                if isinstance(item, Rejected):
                    self._ledger.drop(source.name, item.place, "malformed", item.reason)
                elif isinstance(item, TooLong):
                    self._ledger.drop(source.name, item.place, "too_long")
                elif self._is_sound(item, texts := self._split(item)):
                    spool_index.add(item.id, position)
                    if spool_index.signatures:
                        spool_index.signatures.add(shingles_of(item, texts, self._config.near_duplicate_shingle_words))
                    yield item

    def _open(self, source: Source) -> Artifact:
        opened = source.open(self._data)
        if source.uri:
            self.origins[source.uri] = opened.digest
        return opened

    def _split(self, example: Example) -> list[Words]:
        return [self._hashes.split(message.content) for message in example.messages]

    def _is_sound(self, example: Example, texts: Sequence[Words]) -> bool:
        """Whether nothing is wrong with the example by itself; the ledger gets the reason where there is one."""
        place = example.meta["place"]
        if UNFIT in example.meta:
            self._ledger.drop(example.source, place, str(example.meta[UNFIT]))
        elif overlap := self._held_out.overlap(example, texts):
            reason, matches = overlap
            self._ledger.drop(example.source, place, reason)
            for match in matches:
                self._ledger.overlap(
                    example.id,
                    example.source,
                    place,
                    reason,
                    matched=match.evaluation,
                    matched_place=match.place,
                    evidence=match.text,
                )
        else:
            return True
        return False


def shingles_of(example: Example, texts: Sequence[Words], length: int) -> "NDArray[np.uint64]":
    """The hashed shingles by which examples are compared: runs of `length` words of all turns but the system's.

    A system prompt is shared by examples that have nothing else in common, and with a list of tools it is longer than
    all the rest. But the tools on offer decide what the right answer is: examples that offer different ones are
    different tasks, and never share a shingle; nor do those that differ in numbers, operators or the case of code. A
    conversation of fewer words is one shingle.
    """
    turns = zip(example.messages, texts, strict=True)
    hashes_W = join_hashes(words for message, words in turns if message.role != "system")
    shingles_S = ngram_hashes(hashes_W, max(1, min(length, len(hashes_W))))
    said = (
        text for message in example.messages if message.role != "system" for text in distinctions_of(message.content)
    )
    task = "\n".join([*sorted(example.meta.get("tools", ())), "", *said])
    return mix(shingles_S ^ _hash(task)) if task else shingles_S


def _hash(text: str) -> np.uint64:
    return np.uint64(int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little"))
