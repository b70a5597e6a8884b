"""Weights that are numbers: a model with one NaN or infinity computes nothing but NaN."""

from torch import Tensor

from storm_core.errors import InputError


def finite(tensor: Tensor, name: str, where: object) -> Tensor:
    """The tensor, which is a weight called `name` of the model in `where`.

    Raises:
        InputError: it holds NaN or infinity.
    """
    # Eight bits are not looked at: their scales are.
    if tensor.is_floating_point() and tensor.element_size() > 1 and not bool(tensor.isfinite().all()):
        raise InputError(f"{name} in {where} holds NaN or infinity; the checkpoint is damaged")
    return tensor
