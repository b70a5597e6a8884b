"""A model that is written stops where its chat template ends answers, whoever serves it."""

from pathlib import Path
from typing import TYPE_CHECKING

from storm_core.chat_templates.answer_tokens import AnswerTokens
from storm_core.chat_templates.chat_template import ChatTemplate
from storm_core.checkpoints.loading import load_tokenizer
from storm_core.checkpoints.settings_files import read_settings
from storm_core.checkpoints.stop_tokens import add_stop_tokens, read_stop_tokens
from storm_core.progress import report

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def write_turn_ends(directory: Path) -> None:
    """Add the tokens that end answers to those at which the model in `directory` stops, and say so.

    Nothing is written where it stops there already, or has no chat template.

    Raises:
        InputError: the tokenizer cannot be loaded, or a file is not a config.
    """
    if not _has_template(directory):
        return
    tokenizer = load_tokenizer(directory)
    added = add_stop_tokens(directory, AnswerTokens(tokenizer, ChatTemplate(tokenizer)).ends)
    if added:
        names = ", ".join(tokenizer.convert_ids_to_tokens(added))
        report(f"the chat template ends answers with {names}: generation_config.json stops there now too")


def tell_unwritten_ends(directory: Path, tokenizer: "PreTrainedTokenizerBase", template: ChatTemplate) -> None:
    """Say in the log where the model in `directory` does not stop at the tokens that end its answers.

    A model that was merged of parents that `fetch` has not written may not: `merge` can render no template.
    """
    stops = read_stop_tokens(directory)
    unwritten = [token for token in AnswerTokens(tokenizer, template).ends if token not in stops]
    if unwritten:
        names = ", ".join(tokenizer.convert_ids_to_tokens(unwritten))
        report(
            f"the chat template ends answers with {names}, and generation_config.json does not stop there: replies end "
            "there here, a server's go on. storm fetch writes it, so does storm quantize"
        )


def _has_template(directory: Path) -> bool:
    named = read_settings(directory / "tokenizer_config.json").get("chat_template")
    return bool(named) or (directory / "chat_template.jinja").is_file()
