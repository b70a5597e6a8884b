"""Tokenised examples as files: made once, by one process, for all that train on them, with whatever options."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from storm_core import processes
from storm_core.code_identity import identity_of
from storm_core.finetuning.exchange import gather
from storm_core.finetuning.flat_examples import TokenizedExamples, map_flat, write_flat
from storm_core.finetuning.tokenization import Dropped, TokenizedExample
from storm_core.progress import report
from storm_core.stage import Inputs
from storm_core.stores.partial_results import PartialResults

# Makes examples one after the other, and counts by reason those that it drops.
Tokenize = Callable[[Dropped], Iterator[TokenizedExample]]

_NAME = "tokens.arrow"
_WEIGHTS = ".safetensors"
# What makes and writes them, with all that these import.
_MODULES = (__name__, "storm_core.checkpoints.loading")


def tokenized_once(tokenize: Tokenize, kept: PartialResults, scratch: Path) -> TokenizedExamples:
    """The examples that `kept` has, or else what `tokenize` makes, kept for others; mapped from a file.

    Of several processes the main one tokenises; one of each machine puts the file in its `scratch`, and all
    there map the same. Every process must ask for it.
    """
    file = scratch / _NAME
    if processes.is_main() and not _fetch(kept, file):
        _make(tokenize, file)
        kept.keep(_NAME, file)
    gather(None)  # It is there now.
    leads = processes.local_rank() == 0
    if leads and not processes.is_main() and not _fetch(kept, file):
        # What another run has removed in the meantime is made again.
        _make(tokenize, file)
    files = gather(file)
    examples = map_flat(files[processes.rank() - processes.local_rank()])
    gather(None)  # All have it open, so that it goes with the last of them, however that ends.
    if leads:
        file.unlink()
    return examples


def tokens_identity(inputs: Inputs, name: str, max_length: int, date: str | None) -> dict[str, Any]:
    """What tokenised examples that may stand for each other have in common.

    That is their file, the tokenizer, the longest one, the code, and what the chat template is told of the `date`; None
    where it asks for none.
    """
    (examples,) = (entry.sha256 for entry in inputs["selection"].manifest.files if entry.path == name)
    # Which files a tokenizer is made from differs by its class; only weights are never among them.
    beside = {entry.path: entry.sha256 for entry in inputs["model"].manifest.files if _WEIGHTS not in entry.path}
    code = identity_of(*_MODULES)
    return {
        "tokens of": examples,
        "tokenizer": beside,
        "max_length": max_length,
        "date": date,
        "made by": dict(code),
    }


def _make(tokenize: Tokenize, file: Path) -> None:
    dropped = Dropped()
    write_flat(tokenize(dropped), dropped, file)


def _fetch(kept: PartialResults, file: Path) -> bool:
    if not kept.fetch(_NAME, file):
        return False
    try:
        map_flat(file)
    except ValueError as error:
        report(f"train: the tokenised examples that were kept cannot be read ({error}); they are made again")
        return False
    return True
