"""Ratios as JSON, the choice, and the YAML, against the published files."""

import json
import math
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from storm_core.spectrum.selection import choose, format_ratios, format_yaml, ranked

GOLDEN = Path(__file__).parent / "golden"
PUBLISHED_JSON = GOLDEN / "snr_results_meta-llama-Meta-Llama-3.1-8B-Instruct.json"
PUBLISHED_YAML = GOLDEN / "snr_results_meta-llama-Meta-Llama-3.1-8B-Instruct_unfrozenparameters_50percent.yaml"


def test_published_ratios_at_50_percent_give_the_published_yaml() -> None:
    yaml = format_yaml(choose(json.loads(PUBLISHED_JSON.read_text()), 50))
    assert yaml.encode() == PUBLISHED_YAML.read_bytes()


def test_published_ratios_are_written_back_byte_for_byte() -> None:
    assert format_ratios(json.loads(PUBLISHED_JSON.read_text())).encode() == PUBLISHED_JSON.read_bytes()


def test_ties_are_in_layer_order_and_not_in_the_order_of_digits() -> None:
    tied = {f"model.layers.{layer}.norm": math.inf for layer in (10, 2, 1, 11)}
    assert ranked(tied) == [f"model.layers.{layer}.norm" for layer in (1, 2, 10, 11)]


@given(
    st.lists(st.floats(0, allow_nan=False) | st.just(math.inf), min_size=1, max_size=40),
    st.floats(0, 100),
)
def test_choice_is_the_best_share_rounded_down(snr: list[float], percent: float) -> None:
    ratios = {f"model.layers.{layer}.x": value for layer, value in enumerate(snr)}
    chosen = choose({"x": ratios}, percent)["x"]
    left = ratios.keys() - set(chosen)
    assert len(chosen) == int(len(snr) * percent / 100)
    assert min((ratios[name] for name in chosen), default=math.inf) >= max((ratios[name] for name in left), default=0)


def test_each_type_is_chosen_for_itself() -> None:
    ratios = {"b": {"l.0.b": 9.0, "l.1.b": 8.0}, "a": {"l.0.a": 1.0, "l.1.a": 2.0}}
    assert list(choose(ratios, 50).items()) == [("a", ["l.1.a"]), ("b", ["l.0.b"])]
