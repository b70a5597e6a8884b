"""The container of a component: an image and one `storm` command."""

from typing import Any

from kfp import dsl


def storm(verb: str, image: str, **arguments: Any) -> dsl.ContainerSpec:
    """Container that runs `storm <verb>` with one flag an argument.

    `{{$}}` is KFP's placeholder for the ExecutorInput, by which a stage reports its outputs and metrics.
    """
    args: list[Any] = ["--executor-input", "{{$}}"]
    for name, value in arguments.items():
        args += ["--" + name.replace("_", "-"), value]
    return dsl.ContainerSpec(image=image, command=["storm", verb], args=args)
