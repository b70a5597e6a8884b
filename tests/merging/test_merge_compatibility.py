import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from storm_core.checkpoints.checkpoint import open_checkpoint
from storm_core.checkpoints.older_versions import write_for_older_versions
from storm_core.errors import InputError
from storm_core.merging.compatibility import check_mergeable, check_vocabulary
from tests.checkpoints.families import make_family
from tests.checkpoints.spoiling import change_config, change_tensors
from tests.conftest import make_tiny_llama


@pytest.fixture
def other(other_tiny_llama: Path, tmp_path: Path) -> Path:
    """A copy of the second model that a test may spoil."""
    return Path(shutil.copytree(other_tiny_llama, tmp_path / "other"))


def check(base: Path, other: Path) -> None:
    check_mergeable(open_checkpoint(base), open_checkpoint(other))


def change_tokenizer(model: Path, change: Callable[[dict[str, Any]], object]) -> None:
    file = model / "tokenizer.json"
    tokenizer = json.loads(file.read_text())
    change(tokenizer)
    file.write_text(json.dumps(tokenizer))


def test_two_models_of_the_same_shapes_fit(tiny_llama: Path, other_tiny_llama: Path) -> None:
    check(tiny_llama, other_tiny_llama)


def test_another_shape_is_refused_with_the_tensor_both_shapes_and_both_models(
    tiny_llama: Path, tiny_tokenizer_directory: Path, tmp_path: Path
) -> None:
    other = make_tiny_llama(tmp_path / "narrow", tiny_tokenizer_directory, hidden_size=32)
    with pytest.raises(InputError) as error:
        check(tiny_llama, other)
    for part in ("'model.embed_tokens.weight'", ", 64]", ", 32]", str(tiny_llama), str(other)):
        assert part in str(error.value)
    assert "\n" not in str(error.value)


def test_a_tied_head_that_is_stored_once_more_is_no_difference(tiny_llama: Path, other: Path) -> None:
    change_tensors(other, lambda t: t.update({"lm_head.weight": t["model.embed_tokens.weight"].clone()}))
    check(tiny_llama, other)
    check(other, tiny_llama)


def test_a_tied_head_of_other_values_is_refused(tiny_llama: Path, other: Path) -> None:
    change_tensors(other, lambda t: t.update({"lm_head.weight": t["model.embed_tokens.weight"] + 1}))
    with pytest.raises(InputError, match=r"no copy of model\.embed_tokens\.weight, though tie_word_embeddings"):
        check(tiny_llama, other)


def test_an_untied_head_against_a_tied_one_is_refused_either_way(tiny_llama: Path, other: Path) -> None:
    change_tensors(other, lambda t: t.update({"lm_head.weight": t["model.embed_tokens.weight"].clone()}))
    change_config(other, tie_word_embeddings=False)
    for pair in ((tiny_llama, other), (other, tiny_llama)):
        with pytest.raises(InputError, match=r"'lm_head.weight' in .*tiny_llama.*ties its word embeddings"):
            check(*pair)


def test_missing_layers_are_counted(tiny_llama: Path, other: Path) -> None:
    def drop_second_layer(tensors: dict[str, Tensor]) -> None:
        for name in [name for name in tensors if name.startswith("model.layers.1.")]:
            del tensors[name]

    change_tensors(other, drop_second_layer)
    change_config(other, num_hidden_layers=1, layer_types=None)
    with pytest.raises(InputError, match=r"no tensor 'model.layers.1.input_layernorm.weight' .* nor 8 others"):
        check(tiny_llama, other)


@pytest.mark.parametrize(
    "change",
    [
        {"model_type": "mistral"},
        {"head_dim": 8, "num_attention_heads": 8, "num_key_value_heads": 4},
        {"rope_parameters": {"rope_theta": 5e5, "rope_type": "default"}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_facts_that_shapes_do_not_show_are_compared(tiny_llama: Path, other: Path, change: dict[str, Any]) -> None:
    change_config(other, **change)
    with pytest.raises(InputError, match=next(iter(change)).replace("parameters", "theta")):
        check(tiny_llama, other)


SCALED = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}


@pytest.mark.parametrize(
    ("family", "change"),
    [
        ("Qwen2", {"rope_parameters": {**SCALED, "rope_theta": 1e6, "original_max_position_embeddings": 512}}),
        ("Qwen2", {"use_sliding_window": True, "sliding_window": 16, "layer_types": ["sliding_attention"] * 2}),
        ("Mistral", {"sliding_window": 32}),
        ("Mistral", {"sliding_window": None}),
        ("Llama 3.1", {"rms_norm_eps": 1e-5}),
        ("Gemma 2", {"attn_logit_softcapping": None}),
        ("Gemma 2", {"query_pre_attn_scalar": 16}),
        ("Phi-3", {"original_max_position_embeddings": 512}),
        ("Gemma 3 (text)", {"rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 1e4}}}),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_a_setting_of_the_forward_pass_that_differs_is_refused(
    family: str, change: dict[str, Any], tmp_path: Path
) -> None:
    base, other = make_family(family, tmp_path / "base"), make_family(family, tmp_path / "other", seed=1)
    check(base, other)
    for file in (base, other):
        write_for_older_versions(file)  # As fetch leaves them; the change below is of both spellings then.
    check(base, other)
    config = json.loads((other / "config.json").read_text())
    older = {key: config.pop(key) for key in ("rope_theta", "rope_scaling", "rope_local_base_freq") if key in config}
    assert older
    (other / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(InputError, match="merge models whose forward passes are the same"):
        check(base, other)


def test_either_spelling_of_the_rotary_base_is_understood(tiny_llama: Path, other: Path) -> None:
    change_config(other, rope_parameters=None, rope_theta=10000.0)
    check(tiny_llama, other)
    change_config(other, rope_theta=5e5)
    with pytest.raises(InputError, match=r"rope_theta is 10000\.0 in"):
        check(tiny_llama, other)


def test_quantized_models_are_refused(tiny_llama: Path, other: Path) -> None:
    change_config(other, quantization_config={"quant_method": "compressed-tensors"})
    with pytest.raises(InputError, match="other is quantized; merge the models first"):
        check(tiny_llama, other)


def test_tensors_that_are_no_floating_point_weights_are_refused(tiny_llama: Path, other: Path) -> None:
    change_tensors(other, lambda tensors: tensors.update({"model.norm.weight": torch.ones(64, dtype=torch.int64)}))
    with pytest.raises(InputError, match=r"tensor model\.norm\.weight in .* is I64"):
        check(tiny_llama, other)


def test_a_token_with_another_id_is_named(tiny_llama: Path, other: Path) -> None:
    def swap(tokenizer: dict[str, Any]) -> None:
        tokens = tokenizer["model"]["vocab"]
        tokens["A"], tokens["B"] = tokens["B"], tokens["A"]

    change_tokenizer(other, swap)
    with pytest.raises(InputError, match=r"differ in 2 tokens: '[AB]' has ID \d+ in .* and \d+ in .*other"):
        check(tiny_llama, other)


def test_an_added_token_that_only_one_model_has_is_named(tiny_llama: Path, other: Path) -> None:
    added = {"id": 9999, "content": "<|tool|>", "special": True}
    change_tokenizer(other, lambda tokenizer: tokenizer["added_tokens"].append(added))
    with pytest.raises(InputError, match=r"differ in 1 tokens: '<\|tool\|>' has ID None in .* and 9999 in"):
        check(tiny_llama, other)


def test_vocabularies_that_are_lists_are_compared_by_position(tmp_path: Path) -> None:
    for name, tokens in (("a", ["x", "y"]), ("b", ["x", "y"]), ("c", ["y", "x"])):
        vocabulary = [[token, -1.5] for token in tokens]
        (tmp_path / name).mkdir()
        (tmp_path / name / "tokenizer.json").write_text(json.dumps({"model": {"vocab": vocabulary}}))
    check_vocabulary(tmp_path / "a", tmp_path / "b")
    with pytest.raises(InputError, match="differ in 2 tokens: 'x' has ID 0"):
        check_vocabulary(tmp_path / "a", tmp_path / "c")


def test_a_model_without_tokenizer_is_merged_with_a_notice(
    tiny_llama: Path, other: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (other / "tokenizer.json").unlink()
    check(tiny_llama, other)
    assert f"no tokenizer.json in {other}" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["not json", "[]", '{"model": {}}', '{"model": {"vocab": 3}}'])
def test_an_unreadable_tokenizer_is_refused(tiny_llama: Path, other: Path, text: str) -> None:
    (other / "tokenizer.json").write_text(text)
    with pytest.raises(InputError, match=r"other/tokenizer.json is not a readable tokenizer"):
        check(tiny_llama, other)
