"""What a GGUF file says of its model, parsed once."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storm_core.checkpoints.gguf_header import check_header
from storm_core.errors import InputError

if TYPE_CHECKING:
    from gguf import GGUFReader

# What GGUFReader raises at a file that is cut or altered.
DAMAGED = (
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    OSError,
    OverflowError,
    MemoryError,
    struct.error,
)
ROTARY_TENSORS = ("rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight")
_TOKENIZER = "tokenizer.ggml."
# Of the tokenizer's lists the one that is looked at; scores, merges and types are transformers' business.
_TOKENS = f"{_TOKENIZER}tokens"


@dataclass(frozen=True, kw_only=True)
class Described:
    """What a GGUF file says of its model.

    Attributes:
        settings: those of its architecture, without its name in front.
        tokenizer: those below `tokenizer.ggml.`, with the list of `tokens`.
        shapes: of each tensor by its name in the file.
        factors: values of the tensors of rotary factors.
    """

    name: str
    architecture: str
    settings: Mapping[str, Any]
    tokenizer: Mapping[str, Any]
    shapes: Mapping[str, tuple[int, ...]]
    factors: Mapping[str, list[float]]

    @property
    def weights(self) -> set[str]:
        """Names of the tensors, those of rotary factors left out."""
        return self.shapes.keys() - set(ROTARY_TENSORS)


def describe(file: Path) -> Described:
    """What `file` says of its model; of its tensors those of rotary factors alone are read.

    Raises:
        InputError: the file is damaged.
    """
    from gguf import GGUFReader

    check_header(file)
    try:
        return _described(file, GGUFReader(file))
    except DAMAGED as error:
        reason = " ".join(str(error).replace(str(file), file.name).split())
        raise InputError(f"{file} cannot be converted: {reason}") from error


def _described(file: Path, reader: "GGUFReader") -> Described:
    values = {key: field.contents() for key, field in reader.fields.items() if len(field.types) == 1 or key == _TOKENS}
    architecture = str(values["general.architecture"])
    return Described(
        name=str(file),
        architecture=architecture,
        settings=_below(f"{architecture}.", values),
        tokenizer=_below(_TOKENIZER, values),
        shapes={tensor.name: tuple(int(size) for size in reversed(tensor.shape)) for tensor in reader.tensors},
        factors={t.name: [float(value) for value in t.data] for t in reader.tensors if t.name in ROTARY_TENSORS},
    )


def _below(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {key.removeprefix(prefix): value for key, value in values.items() if key.startswith(prefix)}
