"""Functions with the options of a stage: names, types, defaults and meanings are those that its config says.

Type checkers learn of them by `Options`, the parameters with which the config is made; `help`, and editors that ask the
running program, by the signature that `with_options` makes.
"""

import dataclasses
import difflib
import functools
import inspect
import typing
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

from storm_core.config import StageConfig, describe_option
from storm_core.stage import Stage

Options = ParamSpec("Options")
Method = TypeVar("Method", bound=Callable[..., Any])
_VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def with_options(stage: Stage) -> Callable[[Method], Method]:
    """Make a function of a bound method whose `**options` are those of `stage`: its signature and help name them.

    The function takes what Python has for an option's type: a list for a tuple, 1 for 1.0. It raises TypeError for an
    option that there is not.
    """

    def decorate(method: Method) -> Method:
        signature = _signature(method, stage.config)
        types = typing.get_type_hints(stage.config)

        @functools.wraps(method)
        def function(*given: Any, **named: Any) -> Any:
            _refuse_unknown(function.__name__, named, list(signature.parameters))
            signature.bind(*given, **named)  # raises TypeError where an argument is missing or options have no name
            return method(*given, **{name: _as_typed(types.get(name), value) for name, value in named.items()})

        function.__qualname__ = function.__name__
        function.__doc__ = "\n".join([inspect.getdoc(method) or "", "", "Options:", *_help(stage.config)])
        function.__signature__ = signature  # type: ignore[attr-defined]  # what `inspect.signature` looks for
        return typing.cast("Method", function)

    return decorate


def _signature(method: Callable[..., Any], config: type[StageConfig]) -> inspect.Signature:
    """The method's signature with the options in the place of `**options`."""
    own = inspect.signature(method)
    types = typing.get_type_hints(config)
    options = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default,
            annotation=types[field.name],
        )
        for field in dataclasses.fields(config)
    ]
    kept = [parameter for parameter in own.parameters.values() if parameter.kind not in _VARIABLE]
    return own.replace(parameters=[*kept, *options])


def _help(config: type[StageConfig]) -> list[str]:
    types = typing.get_type_hints(config)
    return [f"    {field.name}: {describe_option(field, types[field.name])}" for field in dataclasses.fields(config)]


def _as_typed(kind: Any, value: Any) -> Any:
    """The value as the command line would have read it, so that equal options make equal bytes and equal keys."""
    if kind is float and type(value) is int:
        return float(value)
    return tuple(value) if isinstance(value, list) and typing.get_origin(kind) is tuple else value


def _refuse_unknown(function: str, named: dict[str, Any], known: Sequence[str]) -> None:
    for name in named:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
            raise TypeError(f"{function}() has no argument {name!r}; {hint}")
