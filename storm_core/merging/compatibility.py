"""Whether two checkpoints can be merged: the same architecture, tensors, shapes and vocabulary."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from storm_core.checkpoints.checkpoint import Checkpoint
from storm_core.checkpoints.forward_settings import forward_settings
from storm_core.checkpoints.settings_files import read_settings
from storm_core.checkpoints.shapes import HEAD
from storm_core.errors import InputError
from storm_core.progress import report


def check_mergeable(base: Checkpoint, other: Checkpoint) -> None:
    """Check that every tensor of `base` has its counterpart in `other` and that both mean the same by it.

    Raises:
        InputError: names what differs, and both directories.
    """
    _check_setting("model_type", base.config, other.config, base, other)
    for checkpoint in (base, other):
        _check_is_plain(checkpoint)
    _check_tensors(base, other)
    _check_settings(base, other)
    check_vocabulary(base.path, other.path)


def check_vocabulary(base: Path, other: Path) -> None:
    """Check that both tokenizers give every token the same ID; row n of an embedding must mean the same token.

    Raises:
        InputError: they differ; names the first token that does.
    """
    base_vocabulary, other_vocabulary = _read_vocabulary(base), _read_vocabulary(other)
    if base_vocabulary is None or other_vocabulary is None:
        bare = base if base_vocabulary is None else other
        report(f"no tokenizer.json in {bare}: the vocabularies of {base} and {other} were not compared")
        return
    tokens = base_vocabulary.keys() | other_vocabulary.keys()
    differing = [token for token in tokens if base_vocabulary.get(token) != other_vocabulary.get(token)]
    if differing:
        token = min(differing, key=lambda token: (base_vocabulary.get(token, other_vocabulary.get(token)), token))
        ids = f"{base_vocabulary.get(token)} in {base} and {other_vocabulary.get(token)} in {other}"
        raise InputError(f"the vocabularies differ in {len(differing)} tokens: {token!r} has ID {ids}")


def _check_is_plain(checkpoint: Checkpoint) -> None:
    if "quantization_config" in checkpoint.config:
        raise InputError(f"{checkpoint.path} is quantized; merge the models first and quantize the result")


def _check_tensors(base: Checkpoint, other: Checkpoint) -> None:
    for name, tensor in base.tensors.items():
        if name in other.tensors and other.tensors[name].shape != tensor.shape:
            shapes = f"{list(tensor.shape)} in {base.path} and {list(other.tensors[name].shape)} in {other.path}"
            raise InputError(f"tensor {name!r} has shape {shapes}; merge models of the same architecture and size")
    for here, there in ((base, other), (other, base)):
        missing = sorted(here.tensors.keys() - there.tensors.keys())
        if missing:
            hint = "one ties its word embeddings" if missing == [HEAD] else "the architectures differ"
            count = f", nor {len(missing) - 1} others" if len(missing) > 1 else ""
            raise InputError(f"no tensor {missing[0]!r} in {there.path}{count}, but in {here.path}; {hint}")


def _check_settings(base: Checkpoint, other: Checkpoint) -> None:
    """Check that equal tensors would compute the same in both; tensors made for one setting are noise in another."""
    here, there = _settings(base), _settings(other)
    # A setting that one config leaves to an architecture whose defaults are not known here cannot be compared.
    for name in sorted(here.keys() & there.keys()) + sorted(here.keys() ^ there.keys()):
        if name in here.keys() & there.keys() or name.startswith("rope"):
            _check_setting(name, here, there, base, other)


def _settings(checkpoint: Checkpoint) -> dict[str, Any]:
    try:
        return forward_settings(checkpoint.config)
    except InputError as error:
        raise InputError(f"config.json in {checkpoint.path}: {error}") from error


def _check_setting(
    name: str, here: Mapping[str, Any], there: Mapping[str, Any], base: Checkpoint, other: Checkpoint
) -> None:
    if here.get(name) != there.get(name):
        values = f"{here.get(name)!r} in {base.path} and {there.get(name)!r} in {other.path}"
        raise InputError(f"{name} is {values}; merge models whose forward passes are the same")


def _read_vocabulary(path: Path) -> dict[str, int] | None:
    """Token to ID, added tokens included, from `tokenizer.json`; None without that file."""
    file = path / "tokenizer.json"
    if not file.is_file():
        return None
    try:
        tokenizer = read_settings(file)
        listed = tokenizer["model"]["vocab"]
        # Unigram models list [token, score] pairs in the order of their IDs; all others map tokens to IDs.
        tokens = listed if isinstance(listed, dict) else {token: number for number, (token, _) in enumerate(listed)}
        tokens = {**tokens, **{added["content"]: added["id"] for added in tokenizer.get("added_tokens") or []}}
    except InputError as error:
        raise InputError(f"{file} is not a readable tokenizer: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{file} is not a readable tokenizer: {error!r}") from error
    strange = next((token for token, number in tokens.items() if type(number) is not int), None)
    if strange is not None:
        raise InputError(f"{file} is not a readable tokenizer: the ID of {strange!r:.80} is {tokens[strange]!r:.80}")
    return tokens
