"""Rotary positions as a config says them, in the words of transformers 5 or of the versions before."""

from collections.abc import Mapping
from typing import Any

from storm_core.errors import InputError

# Settings of each kind of layer; ALL where all layers have the same.
Rotary = dict[str, dict[str, Any]]
ALL = "all layers"
_THETA = 10000.0
# Where not all layers turn alike: the bases of those that see everything and those that see a window.
_LAYERWISE = {"gemma3_text": {"full_attention": 1e6, "sliding_attention": 1e4}}
_OTHER_THETA = {"smollm3": 2e6}
_SCALED_FROM_A_LENGTH = ("llama3", "yarn", "longrope")


def rotary_settings(config: Mapping[str, Any]) -> Rotary:
    """What decides the rotary positions, defaults filled in, whichever way the config spells it.

    Raises:
        InputError: it spells them in both ways, and not the same.
    """
    new, old = config.get("rope_parameters"), _from_older_names(config)
    if not new:
        return old
    if not isinstance(new, dict):
        raise InputError(f"rope_parameters is {new!r}, not a mapping")
    found = _from_newer_names(config, new)
    said_twice = found.keys() == old.keys() and (config.get("rope_scaling") or "rope_theta" in config)
    if said_twice and _from_older_names({**config, **_left_out(config, new)}) != found:
        raise InputError(
            f"rope_parameters {new} contradicts rope_theta {config.get('rope_theta')} and rope_scaling "
            f"{config.get('rope_scaling')}; transformers 4 and 5 would read another model each"
        )
    return found


def older_names(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that transformers 4 reads in place of `rope_parameters`; none where that is not there."""
    parameters = config.get("rope_parameters")
    if not isinstance(parameters, dict) or not parameters:
        return {}
    if not _is_by_layer(parameters):
        return _older(config, parameters)
    older = _older(config, parameters.get("full_attention") or {})
    local = (parameters.get("sliding_attention") or {}).get("rope_theta")
    return older if local is None else {**older, "rope_local_base_freq": local}


def _older(config: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    scaling = {key: value for key, value in parameters.items() if key not in ("rope_theta", "partial_rotary_factor")}
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    older: dict[str, Any] = {key: parameters[key] for key in parameters if key not in scaling}
    if config.get("model_type") == "phi3" and kind != "default":
        # Phi-3's code takes these three and no others.
        scaling = {"type": kind, **{key: scaling[key] for key in ("short_factor", "long_factor") if key in scaling}}
    return {**older, "rope_scaling": None if kind == "default" else scaling}


def _from_newer_names(config: Mapping[str, Any], parameters: Mapping[str, Any]) -> Rotary:
    if not _is_by_layer(parameters):
        return {ALL: _complete(config, parameters, _theta(config))}
    thetas = _LAYERWISE.get(str(config.get("model_type")), {})
    return {
        kind: _complete(config, settings, thetas.get(kind, _theta(config)))
        for kind, settings in parameters.items()
        if isinstance(settings, dict)
    }


def _from_older_names(config: Mapping[str, Any]) -> Rotary:
    scaling = config.get("rope_scaling") or {}
    if not isinstance(scaling, dict):
        raise InputError(f"rope_scaling is {scaling!r}, not a mapping")
    thetas = _LAYERWISE.get(str(config.get("model_type")))
    if thetas is None:
        return {ALL: _complete(config, scaling, _theta(config))}
    full = _complete(config, scaling, config.get("rope_theta", thetas["full_attention"]))
    local = config.get("rope_local_base_freq", thetas["sliding_attention"])
    return {"full_attention": full, "sliding_attention": _complete(config, {}, local)}


def _left_out(config: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """What the newer names say and the older ones do not: what is not said twice cannot contradict."""
    return {
        key: value
        for key, value in older_names({**config, "rope_parameters": parameters}).items()
        if config.get(key) is None
    }


def _complete(config: Mapping[str, Any], settings: Mapping[str, Any], theta: Any) -> dict[str, Any]:
    kind = settings.get("rope_type") or settings.get("type") or "default"
    found = {key: value for key, value in settings.items() if key not in ("type", "rope_type") and value is not None}
    found = {"rope_type": kind, "rope_theta": theta, "partial_rotary_factor": _turned(config), **found}
    if kind in _SCALED_FROM_A_LENGTH:
        # Phi-3 has the length outside, and that one counts.
        length = config.get("original_max_position_embeddings") or found.get("original_max_position_embeddings")
        found["original_max_position_embeddings"] = length or config.get("max_position_embeddings")
    if kind in ("dynamic", "longrope", "yarn"):
        found["max_position_embeddings"] = config.get("max_position_embeddings")
    return {key: float(value) if isinstance(value, int) else value for key, value in found.items()}


def _theta(config: Mapping[str, Any]) -> Any:
    default = _OTHER_THETA.get(str(config.get("model_type")), _THETA)
    theta = config.get("rope_theta")
    return default if theta is None else theta


def _turned(config: Mapping[str, Any]) -> Any:
    share = config.get("partial_rotary_factor")
    return 1.0 if share is None else share


def _is_by_layer(parameters: Mapping[str, Any]) -> bool:
    return any(key.endswith("_attention") for key in parameters)
