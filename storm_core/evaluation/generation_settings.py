"""Whether `generation_kwargs` of a task are what lm-eval and transformers take: they look while the model answers."""

from collections.abc import Mapping
from typing import Any

from storm_core.errors import InputError, first_line

# lm-eval's names for one thing, of which the first counts.
_LIMITS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")

# Every question is answered so often; all answers are kept.
_MOST_REPEATS = 1024


def check_generation(definition: Mapping[str, Any], where: str) -> None:
    """Refuse `generation_kwargs` and `repeats` with which no answer can be generated.

    Raises:
        InputError: names the key and what it may be.
    """
    repeats = definition.get("repeats", 1)
    if not _is_count(repeats) or repeats > _MOST_REPEATS:
        raise InputError(f"{where}, repeats must be from 1 to {_MOST_REPEATS}, got {repeats!r}")
    given = definition.get("generation_kwargs")
    if given is None:
        return
    where = f"{where}, generation_kwargs"
    if not isinstance(given, dict) or not all(isinstance(key, str) for key in given):
        raise InputError(f"{where} must be a mapping of settings, got {given!r}")
    _check_stops(given.get("until", []), where)
    for key in _LIMITS:
        if key in given and not _is_count(given[key]):
            raise InputError(f"{where}, {key} must be a number of tokens, 1 or more, got {given[key]!r}")
    _check_sampling({key: value for key, value in given.items() if key not in ("until", *_LIMITS)}, where)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _check_stops(until: Any, where: str) -> None:
    listed = until if isinstance(until, list) else [until]
    if not all(isinstance(stop, str) and stop for stop in listed):
        raise InputError(f"{where}, until must be a text or a list of texts, none of them empty, got {until!r}")


def _check_sampling(settings: Mapping[str, Any], where: str) -> None:
    """What is left of the settings are transformers' own."""
    from transformers import GenerationConfig

    known = GenerationConfig().to_dict()  # type: ignore[no-untyped-call]
    if unknown := [key for key in settings if key not in known or key.startswith("_")]:
        raise InputError(f"{where} has the unknown setting {unknown[0]!r}; is it misspelt?")
    for key in ("temperature", "top_p", "top_k", "repetition_penalty"):
        value = settings.get(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or value < 0):
            raise InputError(f"{where}, {key} must be a number from 0 on, got {value!r}")
    if settings.get("do_sample") and not settings.get("temperature", 1.0):
        raise InputError(f"{where}, temperature must be above 0 where do_sample is true")
    try:
        GenerationConfig(**settings).validate()  # type: ignore[no-untyped-call]
    except (TypeError, ValueError) as error:
        raise InputError(f"{where} cannot be used: {first_line(error)}") from error
