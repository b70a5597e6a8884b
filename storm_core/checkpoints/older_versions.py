"""Config and tokenizer files that transformers 4.43 and later read as the version that wrote them does.

Transformers 5 renamed settings, and older versions ignore the new names in silence: a model would load with the rotary
base of another. What is written here is said in both ways; the tensors and their names are the same in all versions.
"""

from pathlib import Path
from typing import Any

from storm_core.checkpoints.rotary import older_names, rotary_settings
from storm_core.checkpoints.settings_files import read_settings, write_settings
from storm_core.errors import InputError

_NEW_TOKENIZER_CLASS, _TOKENIZER_CLASS = "TokenizersBackend", "PreTrainedTokenizerFast"


def write_for_older_versions(directory: Path) -> None:
    """Add to the files of a model directory what older versions look for; a second time changes nothing.

    Raises:
        InputError: the config contradicts itself, or a file is not readable as JSON.
    """
    _change(directory / "config.json", _config)
    _change(directory / "tokenizer_config.json", lambda settings: _tokenizer_config(settings, directory))
    _write_merges_as_text(directory / "tokenizer.json")


def _config(settings: dict[str, Any]) -> dict[str, Any]:
    rotary_settings(settings)
    dtype = settings.get("dtype", settings.get("torch_dtype"))
    named = {} if dtype is None else {"dtype": dtype, "torch_dtype": dtype}
    return {**settings, **named, **older_names(settings)}


def _tokenizer_config(settings: dict[str, Any], directory: Path) -> dict[str, Any]:
    changed = dict(settings)
    if changed.get("tokenizer_class") == _NEW_TOKENIZER_CLASS:
        changed["tokenizer_class"] = _TOKENIZER_CLASS
    if isinstance(changed.get("extra_special_tokens"), list):
        # The older versions want a mapping under this name, and the list under the other.
        changed["additional_special_tokens"] = changed.pop("extra_special_tokens")
    template = directory / "chat_template.jinja"
    if template.is_file():
        # A file of its own is looked for since 4.51 and comes first there.
        changed["chat_template"] = template.read_text(encoding="utf-8")
    return changed


def _write_merges_as_text(file: Path) -> None:
    """Write pairs of a BPE's merges with a blank between, which every release of tokenizers reads.

    Pairs in lists, which tell a blank within a token, are read since its release 0.20, that is transformers 4.45.
    """
    if not file.is_file():
        return
    tokenizer = read_settings(file)
    model = tokenizer.get("model")
    if not isinstance(model, dict):
        return
    merges = model.get("merges")
    if not isinstance(merges, list) or not all(_is_pair(merge) for merge in merges) or not merges:
        return
    model["merges"] = [" ".join(merge) for merge in merges]
    write_settings(file, tokenizer)


def _is_pair(merge: Any) -> bool:
    return isinstance(merge, list) and len(merge) == 2 and all(isinstance(m, str) and " " not in m for m in merge)


def _change(file: Path, change: Any) -> None:
    settings = read_settings(file)
    try:
        changed = change(settings) if settings else settings
    except InputError as error:
        raise InputError(f"{file}: {error}") from error
    if changed != settings:
        write_settings(file, changed)
