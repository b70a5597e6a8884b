"""Names of tensors as programs that wrap a model store them: those of the model with parts of the wrappers' between.

torch.compile puts in `_orig_mod`, data parallelism `module`, Lightning `_forward_module`, FSDP and activation
checkpointing parts of their own, in front of all names or of each layer's.
PEFT puts `base_model.model` in front of all.
"""

import re

from storm_core.errors import InputError

_PARTS = ("_orig_mod", "module", "_forward_module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
_WRAPPERS = re.compile(r"^base_model\.model\.(?=model\.|lm_head\.)|(?:^|(?<=\.))(?:" + "|".join(_PARTS) + r")\.")


def model_name(stored: str) -> str:
    """What a tensor of this name in a file is called in the model."""
    return _WRAPPERS.sub("", stored)


def check_unwrapped(where: str, stored_names: list[str]) -> None:
    """Check that the names are the model's own, for a program that takes no others.

    Raises:
        InputError: names one that is not.
    """
    for name in stored_names:
        if model_name(name) != name:
            raise InputError(f"tensor {name} in {where} has a wrapper's name; storm fetch writes it as the model's own")
