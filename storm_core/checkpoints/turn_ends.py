"""A model that is written stops where its chat template ends answers, whoever serves it."""

from pathlib import Path

from storm_core.chat_templates.answer_tokens import AnswerTokens
from storm_core.chat_templates.chat_template import ChatTemplate
from storm_core.checkpoints.loading import load_tokenizer
from storm_core.checkpoints.settings_files import read_settings
from storm_core.checkpoints.stop_tokens import add_stop_tokens
from storm_core.progress import report


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


def _has_template(directory: Path) -> bool:
    named = read_settings(directory / "tokenizer_config.json").get("chat_template")
    return bool(named) or (directory / "chat_template.jinja").is_file()
