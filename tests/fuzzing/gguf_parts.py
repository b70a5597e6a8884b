"""GGUF files in parts, written as they say and not as they should: counts, lengths, types and places may be wrong.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import struct
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import numpy as np

from tests.fuzzing.mutations import hostile, mutate_bytes

_ALIGNMENT = 32
UINT32, FLOAT32, BOOL, STRING, ARRAY = 4, 6, 7, 8, 9
_FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", UINT32: "I", 5: "i", FLOAT32: "f", BOOL: "?", 10: "Q", 11: "q", 12: "d"}
_COUNTS = (0, 1, 3, 2**16, 2**31, 2**32 - 1, 2**40, 2**63, 2**64 - 1)


@dataclass(frozen=True, kw_only=True)
class Field:
    """One setting; of an array `kind` is that of its elements.

    Attributes:
        count: what the file says of the length of a string or an array; None for what it is.
    """

    key: str
    kind: int
    value: Any
    is_array: bool = False
    count: int | None = None

    def content(self) -> bytes:
        """The setting as it is written."""
        if not self.is_array:
            return _text(self.key) + struct.pack("<I", self.kind) + _value(self.kind, self.value, self.count)
        count = len(self.value) if self.count is None else self.count
        head = _text(self.key) + struct.pack("<IIQ", ARRAY, self.kind, count)
        return head + b"".join(_value(self.kind, value) for value in self.value)


@dataclass(frozen=True, kw_only=True)
class Place:
    """What the file says of one tensor."""

    name: str
    shape: tuple[int, ...]
    kind: int
    offset: int

    def content(self) -> bytes:
        """The entry as it is written."""
        sizes = struct.pack(f"<I{len(self.shape)}Q", len(self.shape), *self.shape)
        return _text(self.name) + sizes + struct.pack("<IQ", self.kind, self.offset)


@dataclass(frozen=True, kw_only=True)
class GgufParts:
    """A file: `counts` are those of tensors and settings that its header names, None for what they are."""

    fields: tuple[Field, ...]
    places: tuple[Place, ...]
    data: bytes
    version: int = 3
    counts: tuple[int, int] | None = None
    damage: tuple[int, ...] = ()

    def content(self) -> bytes:
        """The file."""
        tensors, settings = self.counts or (len(self.places), len(self.fields))
        head = b"GGUF" + struct.pack("<IQQ", self.version, tensors, settings)
        head += b"".join(one.content() for one in self.fields) + b"".join(one.content() for one in self.places)
        whole = head + b"\0" * (-len(head) % _ALIGNMENT) + self.data
        for seed in self.damage:
            whole = mutate_bytes(whole, Random(seed))  # noqa: S311 (not secret)
        return whole


def a_gguf(architecture: str, **settings: Any) -> GgufParts:
    """A file of one layer's size, with `settings` beside those that every architecture needs."""
    said = {
        "context_length": 64,
        "embedding_length": 8,
        "block_count": 1,
        "feed_forward_length": 8,
        "attention.head_count": 2,
        "attention.layer_norm_rms_epsilon": 1e-6,
        **settings,
    }
    tokens = ["a", "b", "<s>", "</s>"]
    fields = [
        Field(key="general.architecture", kind=STRING, value=architecture),
        *(_field(f"{architecture}.{key}", value) for key, value in said.items()),
        Field(key="tokenizer.ggml.tokens", kind=STRING, value=tokens, is_array=True),
        Field(key="tokenizer.ggml.token_type", kind=5, value=[1, 1, 3, 3], is_array=True),
        _field("tokenizer.ggml.bos_token_id", 2),
        _field("tokenizer.ggml.eos_token_id", 3),
        _field("tokenizer.chat_template", "{{ messages }}"),
    ]
    shapes = {"token_embd.weight": (8, 4), "blk.0.attn_q.weight": (8, 8), "output_norm.weight": (8,)}
    places, offset = [], 0
    for name, shape in shapes.items():
        places.append(Place(name=name, shape=shape, kind=0, offset=offset))
        offset += -(-4 * int(np.prod(shape)) // _ALIGNMENT) * _ALIGNMENT
    return GgufParts(fields=tuple(fields), places=tuple(places), data=bytes(offset))


def mutate_gguf(file: GgufParts, chance: Random) -> GgufParts:
    """The file with a change of its header, of a setting, of a tensor's place, or of its bytes."""
    kind = chance.randrange(10)
    if kind == 0:
        return replace(file, version=chance.choice((0, 1, 2, 4, 2**24 * 3, 2**32 - 1)))
    if kind == 1:
        return replace(file, counts=(chance.choice(_COUNTS), len(file.fields)))
    if kind == 2:
        return replace(file, counts=(len(file.places), chance.choice(_COUNTS)))
    if kind == 3:
        return replace(file, damage=(*file.damage, chance.getrandbits(30)))
    if kind < 6 and file.places:
        number = chance.randrange(len(file.places))
        return replace(file, places=_with(file.places, number, _mutate_place(file.places[number], chance)))
    if not file.fields:
        return file
    number = chance.randrange(len(file.fields))
    if chance.random() < 0.2:
        changed = file.fields[:number] + file.fields[number + chance.choice((0, 1)) :]
        return replace(file, fields=changed + changed[-1:] * chance.choice((0, 1)))
    return replace(file, fields=_with(file.fields, number, _mutate_field(file.fields[number], chance)))


def _mutate_place(place: Place, chance: Random) -> Place:
    kind = chance.randrange(4)
    if kind == 0:
        return replace(place, name=chance.choice(("", "a", "output.weight", "rope_freqs.weight", "x" * 100, "\ud800")))
    if kind == 1:
        shape = chance.choice(
            ((), (0,), (2**40, 2**40), (8, 8, 8, 8), (1,) * 9, (2**63,), (2**31, 4), place.shape[::-1])
        )
        return replace(place, shape=shape)
    if kind == 2:
        return replace(place, kind=chance.choice((1, 2, 3, 8, 14, 30, 31, 99, 2**31)))
    return replace(place, offset=chance.choice((1, 32, 2**20, 2**40, 2**63, 2**64 - 1)))


def _mutate_field(field: Field, chance: Random) -> Field:
    """Another key, type, value or length; a value that the type does not have is written as nothing."""
    kind = chance.randrange(5)
    if kind == 0:
        head, _, tail = field.key.rpartition(".")
        return replace(
            field, key=chance.choice(("", head, tail, field.key + "x", "a" * 70_000, "general.alignment", "\ud800"))
        )
    if kind == 1:
        return replace(field, kind=chance.choice((*_FORMATS, STRING, ARRAY, 13, 99, 2**31)))
    if kind == 2:
        return replace(field, count=chance.choice(_COUNTS))
    if kind == 3:
        return replace(
            field, is_array=not field.is_array, value=field.value[0] if field.is_array else [field.value] * 3
        )
    value = chance.choice((0, 1, 2, 3, 5, 2**31, 2**32 - 1, hostile(field.value, chance)))
    return replace(field, value=value if not field.is_array else [value] * chance.choice((0, 1, 4)))


def _field(key: str, value: Any) -> Field:
    kinds = {bool: BOOL, int: UINT32, float: FLOAT32, str: STRING}
    return Field(key=key, kind=kinds[type(value)], value=value)


def _with(parts: tuple[Any, ...], number: int, part: Any) -> tuple[Any, ...]:
    return (*parts[:number], part, *parts[number + 1 :])


def _text(text: str, count: int | None = None) -> bytes:
    content = text.encode(errors="surrogatepass")
    return struct.pack("<Q", len(content) if count is None else count) + content


def _value(kind: int, value: Any, count: int | None = None) -> bytes:
    try:
        return _text(str(value), count) if kind == STRING else struct.pack(f"<{_FORMATS[kind]}", value)
    except (KeyError, struct.error, OverflowError, TypeError, RecursionError):
        return b""
