"""`storm fetch`: one clean checkpoint from a model directory or a GGUF file."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from storm_core.artifacts import Artifact
from storm_core.chat_templates.chat_template import ChatTemplate
from storm_core.chat_templates.rendering import MisfitError
from storm_core.checkpoints.architecture import build_empty, check_tensors
from storm_core.checkpoints.checkpoint import Checkpoint, open_checkpoint, write_checkpoint
from storm_core.checkpoints.config import FetchConfig
from storm_core.checkpoints.finite import finite
from storm_core.checkpoints.gguf import convert_gguf
from storm_core.checkpoints.loading import load_tokenizer
from storm_core.checkpoints.older_versions import write_for_older_versions
from storm_core.checkpoints.settings_files import read_settings, write_settings
from storm_core.checkpoints.stop_tokens import read_stop_tokens
from storm_core.checkpoints.tokenizer_file import tell_other_tokens
from storm_core.checkpoints.turn_ends import write_turn_ends
from storm_core.devices import resolve_dtype
from storm_core.errors import InputError
from storm_core.heartbeat import activity
from storm_core.machine_errors import check_room
from storm_core.progress import progress, report
from storm_core.records import Message
from storm_core.stage import Inputs, Results

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Where a saved model or tokenizer remembers how it was loaded: a path of some machine, never part of the model.
_LOADING_KEYS = ("_name_or_path", "_model_name_or_path", "name_or_path", "is_local", "local_files_only")


def run(config: FetchConfig, inputs: Inputs, outputs: Mapping[str, Path]) -> Results:
    """Write the checkpoint and read it back.

    Raises:
        OSError: there is no room for it.
        InputError: no safetensors (pickles are never loaded), a LoRA adapter, code from a hub, NaN or infinity among
            the weights, no tokenizer or no working chat template, or a GGUF file that transformers cannot turn into a
            whole model.
    """
    source, directory = inputs["source"], outputs["model"]
    gguf = _gguf_file(source)
    if gguf:
        with activity(f"convert {gguf.name}"):
            convert_gguf(gguf, directory, resolve_dtype(config.dtype))
        write_for_older_versions(directory)
    else:
        _copy_model(source.path, directory)
    write_turn_ends(directory)
    for name in ("config.json", "generation_config.json", "tokenizer_config.json"):
        _tidy(directory / name)
    for file in filter(Path.is_file, directory.rglob("*")):
        file.chmod(0o644)  # save_pretrained keeps weights to their owner; a model is for other users too.
    checkpoint = _check_model(directory)
    tell_other_tokens(load_tokenizer(directory), directory)
    return Results(metrics=_metrics(checkpoint))


def _gguf_file(source: Artifact) -> Path | None:
    """The GGUF file, where the artifact is a single one."""
    names = [entry.path for entry in source.manifest.files]
    if len(names) == 1 and names[0].endswith(".gguf"):
        return source.file(names[0])
    return None


def _copy_model(source: Path, directory: Path) -> None:
    """Copy weights tensor by tensor, and tokenizer and configs, in the precision they have."""
    ggufs = sorted(source.glob("*.gguf"))
    if ggufs and not (source / "config.json").is_file():
        raise InputError(f"{source} holds GGUF files; name the one to convert, as in {ggufs[0]}")
    checkpoint = _check_model(source)
    if "auto_map" in read_settings(source / "config.json"):
        report(f"{source}: the code that auto_map names is not run; transformers has the same classes")
    check_room(directory, checkpoint.bytes, "the model")
    names = progress(checkpoint.tensors, total=len(checkpoint.tensors), description="copy", unit="tensors")
    write_checkpoint(directory, ((name, finite(checkpoint.load(name), name, source)) for name in names), source=source)


def _check_model(directory: Path) -> Checkpoint:
    """Open the checkpoint in `directory`, whole, whose tokenizer must be a plain one with a working template."""
    checkpoint = open_checkpoint(directory)
    if "auto_map" in read_settings(directory / "tokenizer_config.json"):
        raise InputError(f"tokenizer_config.json in {directory} has auto_map, which runs code from a hub; never done")
    _check_template(load_tokenizer(directory), directory)
    read_stop_tokens(directory)  # To be added to, once all is written.
    if "quantization_config" not in checkpoint.config:  # Scales are no parameters of the plain architecture.
        check_tensors(build_empty(directory), checkpoint)
    return checkpoint


def _check_template(tokenizer: "PreTrainedTokenizerBase", directory: Path) -> None:
    try:
        ChatTemplate(tokenizer).prompt([Message(role="user", content="Is it raining?")])
    except MisfitError as error:
        raise InputError(
            f"the chat template in {directory} cannot show a question, which every stage asks by it: {error}; mend it"
        ) from error


def _tidy(file: Path) -> None:
    """Take traces of the machine that saved it out of a config file."""
    settings = read_settings(file)
    if any(key in settings for key in _LOADING_KEYS):
        kept = {key: value for key, value in settings.items() if key not in _LOADING_KEYS}
        write_settings(file, kept)


def _metrics(checkpoint: Checkpoint) -> dict[str, float]:
    parameters = sum(math.prod(tensor.shape) for tensor in checkpoint.tensors.values())
    return {"tensors": len(checkpoint.tensors), "parameters": parameters}
