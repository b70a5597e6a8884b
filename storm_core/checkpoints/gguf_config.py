"""The `config.json` that a GGUF file would have as a checkpoint."""

import struct
from pathlib import Path
from typing import Any

from storm_core.errors import InputError, first_line


def read_gguf_config(file: Path) -> dict[str, Any]:
    """What transformers makes of the file's own description of its model; no tensor is read.

    Raises:
        InputError: the file is damaged, or of an architecture that transformers does not convert.
    """
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(
            file.parent, gguf_file=file.name, trust_remote_code=False, local_files_only=True
        )
    except (ValueError, KeyError, IndexError, OSError, struct.error) as error:
        raise InputError(f"{file} cannot be read: {first_line(error)}") from error
    settings: dict[str, Any] = config.to_dict()
    return settings
