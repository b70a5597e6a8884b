"""A model of which a file is changed is refused, or what `fetch` makes of it computes what transformers makes of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from storm_core.artifacts import open_directory
from storm_core.checkpoints.config import FetchConfig
from storm_core.checkpoints.loading import load_model, load_tokenizer
from storm_core.checkpoints.stage import run as fetch
from storm_core.stage import Inputs
from tests.checkpoints.families import FAMILIES, make_family
from tests.fuzzing.model_files import ModelFiles, model_files, mutate_model
from tests.fuzzing.readers import Reader, fuzz, readers, times

# Beyond the original contexts and the windows of the families.
_LENGTH, _PLACES = 300, (3, 70, 299)
_TEXT = "How easy is it to learn from this example?"
_OFF = 2e-2
_QUESTION = [{"role": "user", "content": _TEXT}]


def configs(directory: Path) -> Sequence[ModelFiles]:
    return [model_files(make_family(name, directory / name), "config.json") for name in FAMILIES]


def other_files(directory: Path) -> Sequence[ModelFiles]:
    names = ("generation_config.json", "tokenizer_config.json", "tokenizer.json", "chat_template.jinja")
    return [model_files(make_family(name, directory / name), *names) for name in ("Llama 3.1", "Mistral", "Gemma 2")]


def compare(model: ModelFiles, place: Path) -> None:
    """Fetch it; then compare logits, token ids and the rendered question with those of the source."""
    (place / "source").mkdir()
    (place / "fetched").mkdir()
    source = model.write(place / "source")
    fetch(FetchConfig(), Inputs({"source": [open_directory(source)]}), {"model": place / "fetched"})
    found, tokenizer = (
        load_model(place / "fetched", torch.float32, attn_implementation="eager"),
        load_tokenizer(place / "fetched"),
    )
    expected: Any = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32, attn_implementation="eager")
    theirs: Any = AutoTokenizer.from_pretrained(source)
    off = _distance(_logits(expected.eval()), _logits(found))
    assert off < _OFF, f"logits are {off:.1%} off: {_changes(model)}"
    assert tokenizer(_TEXT)["input_ids"] == theirs(_TEXT)["input_ids"], _changes(model)
    assert _rendered(tokenizer) == _rendered(theirs), _changes(model)


def _logits(model: Any) -> torch.Tensor:
    ids = (torch.arange(_LENGTH)[None] * 7 + torch.arange(_LENGTH)[None] ** 2 % 11) % model.config.vocab_size
    with torch.no_grad():
        logits: torch.Tensor = model(ids, use_cache=False).logits[0, list(_PLACES)]
    return logits


def _distance(expected: torch.Tensor, found: torch.Tensor) -> float:
    """Relative to the expected ones; 0 where both are no numbers at the same places."""
    assert torch.equal(expected.isfinite(), found.isfinite())
    expected, found = expected.nan_to_num(0, 0, 0), found.nan_to_num(0, 0, 0)
    return float((expected - found).norm() / expected.norm().clamp(min=1e-9))


def _rendered(tokenizer: Any) -> str:
    """The question by the chat template; what the template raises where it takes none."""
    try:
        return str(tokenizer.apply_chat_template(_QUESTION, tokenize=False, add_generation_prompt=True))
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def _changes(model: ModelFiles) -> str:
    return str({name: content[:3000] for name, content in model.changed.items()})


@times
@readers(
    Reader(name="fetched config", valid=configs, mutate=mutate_model, read=compare, inputs=12),
    Reader(name="fetched model", valid=other_files, mutate=mutate_model, read=compare, inputs=8),
)
def test_changed_model_is_refused_or_computes_the_same(reader: Reader[ModelFiles], times: int, tmp_path: Path) -> None:
    fuzz(reader, times, tmp_path)
