"""GGUF files whose headers are changed: understood, or refused in a line."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from pipelines.estimation.base_model import base_shapes
from storm_core.checkpoints.config import FETCH, FetchConfig
from storm_core.checkpoints.gguf_config import gguf_settings
from storm_core.checkpoints.gguf_description import describe
from storm_core.execution import execute
from tests.checkpoints.families import make_family
from tests.checkpoints.gguf_files import write_family_gguf
from tests.fuzzing.gguf_parts import GgufParts, a_gguf, mutate_gguf
from tests.fuzzing.mutations import mutate_bytes
from tests.fuzzing.readers import Reader, fuzz, readers, times


def headers(directory: Path) -> Sequence[GgufParts]:
    scaled = {"rope.scaling.type": "yarn", "rope.scaling.factor": 2.0, "rope.scaling.original_context_length": 32}
    return [
        a_gguf("llama", **{"attention.head_count_kv": 1, "rope.freq_base": 1e4}),
        a_gguf("qwen2", **scaled),
        a_gguf("gemma3", **{"attention.sliding_window": 16, "attention.key_length": 4, "attention.value_length": 4}),
        a_gguf("phi3", **{"rope.dimension_count": 2, "attention.key_length": 4}),
    ]


def read_header(file: GgufParts, place: Path) -> None:
    path = place / "it.gguf"
    path.write_bytes(file.content())
    gguf_settings(describe(path))


def estimate(file: GgufParts, place: Path) -> None:
    path = place / "it.gguf"
    path.write_bytes(file.content())
    base_shapes(str(path))


def whole_files(directory: Path) -> Sequence[bytes]:
    model = make_family("SmolLM2", directory / "model")
    return [write_family_gguf("SmolLM2", model, directory / "it.gguf").read_bytes()]


def convert(content: bytes, place: Path) -> None:
    """All that fetch does; what it takes is a whole model."""
    (place / "it.gguf").write_bytes(content)
    inputs = {"source": [str(place / "it.gguf")]}
    execute(FETCH, FetchConfig(), inputs=inputs, outputs={"model": place / "model"}, value_files={})


@times
@readers(
    Reader(name="GGUF header", valid=headers, mutate=mutate_gguf, read=read_header, inputs=300),
    Reader(
        name="GGUF header for an estimate",
        valid=lambda d: headers(d)[:2],
        mutate=mutate_gguf,
        read=estimate,
        inputs=100,
    ),
)
def test_changed_header_is_understood_or_refused(reader: Reader[GgufParts], times: int, tmp_path: Path) -> None:
    fuzz(reader, times, tmp_path)


@pytest.mark.nightly
@readers(Reader(name="GGUF file", valid=whole_files, mutate=mutate_bytes, read=convert, inputs=300))
def test_changed_file_is_converted_or_refused(reader: Reader[bytes], tmp_path: Path) -> None:
    fuzz(reader, 1, tmp_path)
