"""How a training process tells torchrun's launcher of an error that is no defect: by the file that torchrun names."""

import json
import os
import time
from pathlib import Path
from typing import Any

_FILE_VARIABLE = "TORCHELASTIC_ERROR_FILE"
_BAD_INPUT = "InputError: "


def leave_error(error: Exception) -> None:
    """Write the error where the launcher looks; nothing outside of torchrun."""
    file = os.environ.get(_FILE_VARIABLE)
    if file:
        extra = {"py_callstack": "", "timestamp": str(int(time.time()))}
        content = {"message": {"message": f"{type(error).__name__}: {error}", "extraInfo": extra}}
        Path(file).write_text(json.dumps(content), encoding="utf-8")


def bad_input(message: Any) -> str | None:
    """What is wrong with the input, where the message of a failed process says that it is."""
    text = message.get("message", "") if isinstance(message, dict) else str(message)
    return text.removeprefix(_BAD_INPUT) if text.startswith(_BAD_INPUT) else None
