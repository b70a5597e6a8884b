"""Text that is not trained on, and whose loss tells what training made the model forget."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from storm_core.artifacts import Artifact
from storm_core.errors import InputError
from storm_core.finetuning.tokenization import TokenizedExample

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_SUFFIX = ".txt"


def read_held_out(
    artifact: Artifact | None, tokenizer: "PreTrainedTokenizerBase", max_length: int
) -> list[TokenizedExample]:
    """The `.txt` files of a directory in pieces of `max_length` tokens, each token after the first with a label.

    Raises:
        InputError: there is no such file, one is not UTF-8, or none holds two tokens.
    """
    if artifact is None:
        return []
    names = [entry.path for entry in artifact.manifest.files if entry.path.endswith(_SUFFIX)]
    pieces = [piece for name in names for piece in _pieces(artifact.file(name), tokenizer, max_length)]
    if not pieces:
        raise InputError(f"held_out {artifact.path} has no {_SUFFIX} file with text in it; give a directory of some")
    return pieces


def _pieces(file: Path, tokenizer: "PreTrainedTokenizerBase", max_length: int) -> Iterator[TokenizedExample]:
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not UTF-8 text: {error}") from error
    tokens: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    for start in range(0, len(tokens), max_length):
        piece = tokens[start : start + max_length]
        if len(piece) > 1:
            yield TokenizedExample(input_ids=piece, labels=piece, id=f"{file.name}:{start}")
