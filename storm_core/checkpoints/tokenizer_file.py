"""Whether a tokenizer reads text as its `tokenizer.json` says, which other versions of transformers go by."""

from pathlib import Path
from typing import TYPE_CHECKING

from storm_core.progress import report

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Where classes of tokenizers differ: blanks at the start and between words, numbers, letters beyond ASCII, lines.
_SAMPLE = "Hello  world, it's 12345.\n\n  déjà vu = 天気\tok"


def tell_other_tokens(tokenizer: "PreTrainedTokenizerBase", directory: Path) -> None:
    """Say in the log where the class of the tokenizer in `directory` makes other tokens than its file.

    transformers 5 builds the parts of some classes anew and takes the vocabulary alone from the file.
    """
    from tokenizers import Tokenizer

    file = directory / "tokenizer.json"
    if not file.is_file():
        return
    plain = Tokenizer.from_file(str(file))
    plain.no_truncation()
    plain.no_padding()
    if tokenizer(_SAMPLE, add_special_tokens=False)["input_ids"] != plain.encode(_SAMPLE, add_special_tokens=False).ids:
        report(
            f"{type(tokenizer).__name__}, the class of the tokenizer in {directory}, makes other tokens than its "
            "tokenizer.json, by which transformers 4 goes; if the file is right, set tokenizer_class in "
            "tokenizer_config.json to PreTrainedTokenizerFast"
        )
