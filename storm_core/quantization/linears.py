"""Which modules of a checkpoint are quantized: the linear layers of its architecture, less those to ignore."""

import re
from collections.abc import Sequence

from torch import nn

from storm_core.checkpoints.architecture import build_empty
from storm_core.checkpoints.checkpoint import Checkpoint
from storm_core.errors import InputError

_REGEX_PREFIX = "re:"


def modules_to_quantize(checkpoint: Checkpoint, ignore: Sequence[str]) -> list[str]:
    """Names of the linear modules whose `.weight` gets quantized, in the order of the architecture.

    Raises:
        InputError: an entry of `ignore` matches no linear module, none is left, or one has no weight of its own.
    """
    linears = linear_modules(checkpoint)
    _check_ignore(checkpoint, linears, ignore)
    chosen = [name for name in linears if not any(matches(name, entry) for entry in ignore)]
    if not chosen:
        raise InputError(f"ignore {list(ignore)} leaves no linear module of {checkpoint.path} to quantize")
    for name in chosen:
        if f"{name}.weight" not in checkpoint.tensors:
            why = "if it is tied to another tensor, or fused in the checkpoint, add it to ignore"
            raise InputError(f"no tensor '{name}.weight' in {checkpoint.path}; {why}")
    return chosen


def linear_modules(checkpoint: Checkpoint) -> list[str]:
    """Names of every `nn.Linear` of the architecture, which is built without memory for its weights.

    Raises:
        InputError: transformers does not know the architecture.
    """
    model = build_empty(checkpoint.path)
    return [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]


def matches(name: str, entry: str) -> bool:
    """Whether an `ignore` entry means the module `name`: its full name, or `re:` and a pattern its beginning matches.

    compressed-tensors and vLLM read the entries the same way.

    Raises:
        InputError: the pattern is not a regular expression.
    """
    if not entry.startswith(_REGEX_PREFIX):
        return entry == name
    try:
        return re.match(entry.removeprefix(_REGEX_PREFIX), name) is not None
    except re.error as error:
        raise InputError(f"ignore {entry!r} is not a regular expression: {error}") from error


def _check_ignore(checkpoint: Checkpoint, linears: Sequence[str], ignore: Sequence[str]) -> None:
    for entry in ignore:
        if not any(matches(name, entry) for name in linears):
            examples = f"such as {linears[0]}" if linears else "of which it has none"
            raise InputError(f"ignore {entry!r} matches no linear module of {checkpoint.path}, {examples}")
