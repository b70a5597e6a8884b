"""Patterns mean what axolotl makes of them; what they cannot mean here is refused by name."""

import itertools
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storm_core.errors import InputError
from storm_core.finetuning.patterns import match_parameters, read_patterns

SOURCE = Path("scan.yaml")
PARTS = ("mlp.up_proj.weight", "mlp.down_proj.weight", "self_attn.q_proj.weight", "self_attn.q_proj.bias")
NAMES = ["model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"]
NAMES += [f"model.layers.{layer}.{part}" for layer in range(25) for part in PARTS]


def layers(*patterns: str) -> set[int]:
    matched = match_parameters(patterns, NAMES, SOURCE)
    return {int(found[1]) for name in matched if (found := re.search(r"layers\.(\d+)", name))}


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("model.layers.1.", {1}),
        ("model.layers.[0-7].", set(range(8))),
        ("model.layers.1[0-9]+.mlp", set(range(10, 20))),
        ("model.layers.2[0-9]+.mlp.up_proj", set(range(20, 25))),
        ("model.layers.(3|20).", {3, 20}),
        ("^model.layers.4.self_attn.q_proj.weight$", {4}),
        ("model.layers.1", {1, *range(10, 20)}),
        ("model.layers.1.*", {1, *range(10, 20)}),
        ("model.layers.+up_proj", set(range(25))),
        (r"model.layers.\d.", set(range(10))),
    ],
)
def test_dot_is_a_dot_as_in_axolotl(pattern: str, expected: set[int], capsys: pytest.CaptureFixture[str]) -> None:
    assert layers(pattern) == expected
    assert capsys.readouterr().err == ""


@given(st.sets(st.integers(0, 24), min_size=1), st.sampled_from(["", "mlp", "self_attn.q_proj"]))
def test_layers_listed_are_trained_and_no_others(chosen: set[int], part: str) -> None:
    listed = [f"model.layers.{layer}.{part}" for layer in chosen]
    together = f"model.layers.({'|'.join(map(str, chosen))}).{part}"
    assert layers(*listed) == layers(together) == chosen


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("^.*$", set(NAMES)),
        (r"^model\.layers\.1\.mlp\.up", {"model.layers.1.mlp.up_proj.weight"}),
        (r"model\.layers.[0-2].mlp.up", {f"model.layers.{layer}.mlp.up_proj.weight" for layer in range(3)}),
        (".*q_proj.bias$", {f"model.layers.{layer}.self_attn.q_proj.bias" for layer in range(25)}),
    ],
)
def test_regular_expression_that_means_nothing_to_axolotl_is_read_and_told(
    pattern: str, expected: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert match_parameters([pattern], NAMES, SOURCE) == expected
    told = capsys.readouterr().err
    assert "matches nothing in axolotl" in told
    assert f"{len(expected)} parameters" in told


@pytest.mark.parametrize(
    ("pattern", "remedy"),
    [
        ("model.layers.25.", "was the scan made from another model"),
        ("lm.head", "was the scan made from another model"),
        ("up_proj", "must match from the name's start, as in 'model.layers.0.mlp.up_proj.weight'"),
        ("embed_tokens", "must match from the name's start, as in 'model.embed_tokens.weight'"),
        ("transformer.blocks.[0-7].", "was the scan made from another model"),
    ],
)
def test_pattern_that_matches_nothing_is_refused_with_a_remedy(pattern: str, remedy: str) -> None:
    with pytest.raises(InputError) as caught:
        match_parameters(["lm_head", pattern], NAMES, SOURCE)
    assert str(caught.value).startswith(f"{pattern!r} in scan.yaml matches no parameter; ")
    assert remedy in str(caught.value)


ENDS = ("900:", ":900", "3:900", "7", ":", "", "01")


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        *itertools.product(("^model.embed_tokens.weight$", "model.layers.1"), ENDS),
        ("^lm_head.weight$", "-5:"),
        ("^lm_head.weight$", "::2"),
    ],
)
def test_range_of_rows_is_refused_as_one(name: str, rows: str, tmp_path: Path) -> None:
    file = tmp_path / "scan.yaml"
    file.write_text(f"unfrozen_parameters:\n- lm_head\n- {name}[{rows}]\n")
    with pytest.raises(InputError) as caught:
        read_patterns(file)
    assert f"ends in [{rows}], which to axolotl is a range of rows" in str(caught.value)


@pytest.mark.parametrize("pattern", ["model.layers.[0-7]", "model.layers.[0-7].", "^model.layers.1[01].mlp$"])
def test_class_of_characters_is_no_range(pattern: str, tmp_path: Path) -> None:
    file = tmp_path / "scan.yaml"
    file.write_text(f"unfrozen_parameters:\n- {pattern}\n")
    assert read_patterns(file) == [pattern]
