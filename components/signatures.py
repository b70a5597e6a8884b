"""Functions that KFP can read: it learns of parameters from a signature, and of their meaning from a docstring."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_type_hints

from storm_core.config import StageConfig, describe_option
from storm_core.stages import RERUN

REQUIRED = inspect.Parameter.empty


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One parameter, as KFP has it.

    Attributes:
        annotation: a type that KFP knows: str, int, float, bool, a list of them, or an artifact to read or write.
        help: what the KFP UI says of it.
        choices: the values it may have; empty where any will do.
        written: whether the component writes it: an artifact, or the file of a value.
    """

    name: str
    annotation: Any
    help: str
    default: Any = REQUIRED
    choices: tuple[str, ...] = ()
    written: bool = False


# Besides the options of its stage every component has this one.
RERUN_PARAMETER = Parameter(
    name=RERUN,
    annotation=list[str],
    help="verbs or tasks that compute afresh, where the store has their result too",
    default=[],
)


def option_parameters(config: type[StageConfig]) -> list[Parameter]:
    """The options of a config, each with its default, its meaning and the values it may have."""
    types = get_type_hints(config)
    return [_option_parameter(field, types[field.name]) for field in dataclasses.fields(config)]


def function_of(
    parameters: Sequence[Parameter],
    body: Callable[[Mapping[str, Any]], Any],
    *,
    name: str,
    summary: str,
    returns: Any,
) -> Callable[..., Any]:
    """A function called `name` with these parameters, which hands their values to `body` by name."""
    # Python wants those without a default first.
    ordered = sorted(parameters, key=lambda parameter: parameter.default is not REQUIRED)

    def function(*values: Any) -> Any:
        return body(dict(zip((parameter.name for parameter in ordered), values, strict=True)))

    function.__name__ = name
    function.__doc__ = _docstring(summary, ordered)
    function.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(
                one.name, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=one.annotation, default=one.default
            )
            for one in ordered
        ],
        return_annotation=returns,
    )
    return function


def _docstring(summary: str, parameters: Sequence[Parameter]) -> str:
    """In the form in which KFP looks for descriptions; those of outputs it takes from what a function returns."""
    lines = [summary]
    for title, written in (("Args:", False), ("Returns:", True)):
        described = [f"    {one.name}: {one.help}" for one in parameters if one.written is written]
        lines += ["", title, *described] if described else []
    return "\n".join(lines)


def _option_parameter(field: "dataclasses.Field[Any]", kind: Any) -> Parameter:
    is_list = kind == tuple[str, ...]
    default: Any = REQUIRED if field.default is dataclasses.MISSING else field.default
    return Parameter(
        name=field.name,
        annotation=list[str] if is_list else kind,
        help=describe_option(field, kind),
        default=list(default) if is_list and default is not REQUIRED else default,
        # KFP compares the whole value; what an element of a list may be is in words only.
        choices=() if is_list else field.metadata["choices"],
    )
