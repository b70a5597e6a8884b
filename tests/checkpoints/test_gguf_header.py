"""A GGUF header that names more than the file has is refused before anything is read by it."""

import struct
from pathlib import Path

import gguf
import pytest

from storm_core.checkpoints.gguf_header import check_header
from storm_core.errors import InputError

UINT32, STRING, ARRAY, FLOAT64 = 4, 8, 9, 12


@pytest.fixture(params=[gguf.GGUFEndian.LITTLE, gguf.GGUFEndian.BIG], ids=["little", "big"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A header of each kind of setting, in either byte order, and nothing behind it."""
    writer = gguf.GGUFWriter(tmp_path / "it.gguf", "llama", endianess=request.param)
    writer.add_bool("a", True)
    writer.add_float64("b", 0.5)
    writer.add_array("c", [1, 2, 3])
    writer.add_array("d", ["one", "", "three"])
    writer.add_string("e", "the last")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return tmp_path / "it.gguf"


def test_a_header_is_whole_or_refused_wherever_it_is_cut(file: Path) -> None:
    check_header(file)
    content = file.read_bytes()
    for length in range(4, len(content)):
        file.write_bytes(content[:length])
        with pytest.raises(InputError, match="it ends within its header; fetch it again"):
            check_header(file)


@pytest.mark.parametrize("kind", [UINT32, FLOAT64, STRING, ARRAY])
@pytest.mark.parametrize("count", [3, 2**31, 2**40, 2**64 - 1])
def test_a_list_longer_than_the_file_is_refused_at_once(kind: int, count: int, tmp_path: Path) -> None:
    file = tmp_path / "it.gguf"
    file.write_bytes(with_setting(struct.pack("<IIQ", ARRAY, kind, count) + bytes(8)))
    with pytest.raises(InputError, match="it ends within its header"):
        check_header(file)


@pytest.mark.parametrize("value", [struct.pack("<I", 13), struct.pack("<IIQ", ARRAY, 99, 1)])
def test_a_type_that_gguf_does_not_have_is_named(value: bytes, tmp_path: Path) -> None:
    (tmp_path / "it.gguf").write_bytes(with_setting(value + bytes(64)))
    with pytest.raises(InputError, match=r"a setting is of type (13|99), which GGUF does not have"):
        check_header(tmp_path / "it.gguf")


def test_lists_in_lists_are_taken_up_to_some_depth(tmp_path: Path) -> None:
    def nested(depth: int) -> Path:
        inner = struct.pack("<IQ", ARRAY, 1) * depth + struct.pack("<IQI", UINT32, 1, 7)
        (tmp_path / "it.gguf").write_bytes(with_setting(struct.pack("<I", ARRAY) + inner))
        return tmp_path / "it.gguf"

    check_header(nested(3))
    with pytest.raises(InputError, match="lists of a setting are nested too deep"):
        check_header(nested(100_000))


def with_setting(value: bytes) -> bytes:
    """A file with one setting, `a`."""
    return b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1) + b"a" + value
