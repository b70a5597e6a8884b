"""The tokenizer of a converted GGUF file: the tokens that the file has, and no others."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from storm_core.checkpoints.settings_files import read_settings, write_settings

# By their names in a GGUF file and in tokenizer_config.json.
_ROLES = {"bos": "bos_token", "eos": "eos_token", "padding": "pad_token", "unknown": "unk_token"}


def keep_own_tokens(directory: Path, settings: Mapping[str, Any]) -> None:
    """Take out of the tokenizer in `directory` what transformers added to that of a file with these `settings`.

    transformers gives each class of tokenizers the special tokens of the first model that had it. Where a file has no
    such token it gets an ID beyond the embedding, or stands for padding though the file names another.
    """
    tokens: list[str] = settings["tokens"]
    known = set(tokens)
    described = read_settings(directory / "tokenizer.json")
    described["added_tokens"] = [token for token in described.get("added_tokens") or [] if token["content"] in known]
    write_settings(directory / "tokenizer.json", described)
    config = {key: value for key, value in _config(directory).items() if not _is_foreign(key, value, known)}
    for role, name in _ROLES.items():
        number = settings.get(f"{role}_token_id")
        if isinstance(number, int) and number < len(tokens):
            config[name] = tokens[number]
    # Read as it is in tokenizer.json; another class would add its own tokens again.
    write_settings(directory / "tokenizer_config.json", {**config, "tokenizer_class": "PreTrainedTokenizerFast"})


def _config(directory: Path) -> dict[str, Any]:
    return read_settings(directory / "tokenizer_config.json")


def _is_foreign(key: str, value: Any, known: set[str]) -> bool:
    text = value.get("content") if isinstance(value, dict) else value
    return key.endswith("_token") and isinstance(text, str) and text not in known
