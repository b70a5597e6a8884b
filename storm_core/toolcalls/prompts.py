"""The recipe's system prompt for function calling, with or without BFCL's three guidelines.

The texts are data files beside this one. The article gives both word for word.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

# Where a prompt file says this, the list of tools goes.
PLACEHOLDER = "LIST_OF_TOOLS"


def system_prompt(tools: Sequence[Mapping[str, Any]], *, guidelines: bool = False) -> str:
    """The system message that offers `tools`.

    Args:
        tools: function descriptions, shown exactly as given: no type is renamed and no name is changed.
        guidelines: say when to answer `[]` instead of calling a function, as the recipe does for BFCL.
    """
    template = _read(guidelines).decode("utf-8").removesuffix("\n")
    return template.replace(PLACEHOLDER, json.dumps(list(tools), ensure_ascii=False))


def prompt_sha256(*, guidelines: bool = False) -> str:
    """SHA-256, in hex, of the prompt file that `system_prompt` fills in."""
    return hashlib.sha256(_read(guidelines)).hexdigest()


def _read(guidelines: bool) -> bytes:
    name = "system_prompt_guidelines.txt" if guidelines else "system_prompt.txt"
    return resources.files(__package__).joinpath(name).read_bytes()
