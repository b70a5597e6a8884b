"""Each family of models through every stage that reads or writes one; the table in docs/models.md is made of this."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml
from transformers import AutoConfig

from storm_core.checkpoints.acceptance import check_kind
from storm_core.checkpoints.checkpoint import open_checkpoint
from storm_core.cli import main
from storm_core.errors import InputError
from storm_core.records import Example, Message, make_example, write_examples
from tests.checkpoints.families import FAMILIES, make_family
from tests.checkpoints.logits import read

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs/models.md"
BFCL = ROOT / ".data/bfcl_eval/data"
VERBS = ("fetch", "score", "scan", "train", "merge", "quantize", "evaluate", "gate", "register")
ROLES = ("base", "sibling", "tuned", "merged", "quantized")
# One of each kind of template and tokenizer; the others are for the night.
BY_DAY = ("Llama 3.1", "Gemma 2")
# With STORM_WRITE_TABLE=1 the table in the document is written, not compared.
WRITES = os.environ.get("STORM_WRITE_TABLE") == "1"
SUITE = {
    "dtype": "float32",
    "seeds": {"sample": 0, "random": 0, "numpy": 1234, "torch": 1234, "fewshot": 1234},
    "benchmarks": [
        {
            **{"kind": "function_calling", "name": "calls", "title": "Calls", "path": "bfcl"},
            **{"categories": ["simple_python"], "guidelines": True, "samples": 2},
            **{"batch_size": 1, "max_new_tokens": 2},
        }
    ],
}
# Families that are refused, by an architecture of theirs.
REFUSED = {
    "Mixtral": "mixtral",
    "Qwen2 and Qwen3 MoE": "qwen3_moe",
    "gpt-oss": "gpt_oss",
    "DeepSeek-V3": "deepseek_v3",
    "Qwen3-Next, Qwen3.5": "qwen3_next",
    "LFM2": "lfm2",
    "Mamba": "mamba",
    "Jamba": "jamba",
    "RecurrentGemma": "recurrent_gemma",
    "Qwen2.5-VL": "qwen2_5_vl",
    "LLaVA": "llava",
    "T5": "t5",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Examples, a selection of them, and a suite of one question."""
    directory = tmp_path_factory.mktemp("data")
    (directory / "examples").mkdir()
    (directory / "selection").mkdir()
    (directory / "bfcl/possible_answer").mkdir(parents=True)
    examples = [_conversation(number) for number in range(6)]
    write_examples(directory / "examples/shard-00000.parquet", examples[:3])
    write_examples(directory / "selection/train.parquet", examples[:4])
    write_examples(directory / "selection/validation.parquet", examples[4:])
    for part in ("", "possible_answer/"):
        lines = (BFCL / f"{part}BFCL_v4_simple_python.json").read_text(encoding="utf-8").splitlines()
        (directory / f"bfcl/{part}BFCL_v4_simple_python.json").write_text("\n".join(lines[:2]) + "\n", encoding="utf-8")
    (directory / "suite.yaml").write_text(yaml.safe_dump(SUITE), encoding="utf-8")
    return directory


def _conversation(number: int) -> Example:
    turns = [
        Message(role="user", content=f"How easy is example {number}?"),
        Message(role="assistant", content=f"It is easy, {number}."),
    ]
    return make_example("chat", turns)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name in BY_DAY else pytest.mark.nightly) for name in FAMILIES],
)
def test_family_passes_through_every_stage_with_the_logits_of_its_source(
    name: str, data: Path, tmp_path: Path, registry: Path
) -> None:
    source, other = make_family(name, tmp_path / "source"), make_family(name, tmp_path / "other", seed=1)
    outcome = dict(_through_the_stages(source, other, data, tmp_path))
    assert outcome == dict.fromkeys(VERBS, 0)
    assert read(tmp_path / "fetched") == read(source)
    for made in ("tuned", "merged", "quantized"):
        assert open_checkpoint(tmp_path / made).config["model_type"] == FAMILIES[name].model_type
    registration = json.loads((tmp_path / "registration/registration.json").read_text(encoding="utf-8"))
    assert [version["role"] for version in registration["versions"]] == ["merged", "quantized"]
    assert name in _documented()


def _through_the_stages(source: Path, other: Path, data: Path, out: Path) -> Iterator[tuple[str, int]]:
    """Each verb with its exit code."""
    model = f"--model={out / 'fetched'}"
    yield "fetch", main(["fetch", f"--source={source}", model])
    least = ["--min-educational-value=1"]
    yield "score", main(["score", model, f"--examples={data / 'examples'}", f"--verdicts={out / 'verdicts'}", *least])
    yield "scan", main(["scan", model, f"--scan={out / 'scan'}"])
    chosen = [f"--selection={data / 'selection'}", f"--scan={out / 'scan'}"]
    made = [f"--tuned-model={out / 'tuned'}", f"--training={out / 'training'}"]
    yield "train", main(["train", model, *chosen, *made, "--epochs=2", "--batch-size=2", "--learning-rate=0.01"])
    both = [f"--base-model={out / 'tuned'}", f"--other-model={other}"]
    yield "merge", main(["merge", *both, f"--merged-model={out / 'merged'}"])
    merged = f"--model={out / 'merged'}"
    yield "quantize", main(["quantize", merged, f"--quantized-model={out / 'quantized'}"])
    models = dict(zip(ROLES, (out / "fetched", other, out / "tuned", out / "merged", out / "quantized"), strict=True))
    suite = [f"--data={data}", "--suite=suite.yaml"]
    yield (
        "evaluate",
        max(
            main(["evaluate", f"--model={model}", f"--evaluation={out / role}-evaluation", *suite])
            for role, model in models.items()
        ),
    )
    evaluations = {role: f"--{role}-evaluation={out / role}-evaluation" for role in ROLES}
    yield "gate", main(["gate", *evaluations.values(), f"--decision={out / 'decision'}"])
    registered = [f"--merged-model={out / 'merged'}", f"--quantized-model={out / 'quantized'}"]
    measured = [evaluations["merged"], evaluations["quantized"], f"--decision={out / 'decision'}"]
    yield "register", main(["register", *registered, *measured, f"--registration={out / 'registration'}"])


@pytest.mark.parametrize(("name", "model_type"), REFUSED.items())
def test_family_that_no_stage_could_take_is_refused_by_its_config_alone(name: str, model_type: str) -> None:
    assert _reason(model_type)
    assert name in _documented()


def test_the_table_says_what_is_taken_and_why_another_is_not() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    before, _, rest = text.partition("<!-- table -->\n")
    _, _, after = rest.partition("<!-- end of table -->\n")
    made = f"{before}<!-- table -->\n{_table()}<!-- end of table -->\n{after}"
    if WRITES:
        DOCUMENT.write_text(made, encoding="utf-8")
    assert made == text, "docs/models.md is not what the stages do; STORM_WRITE_TABLE=1 writes it"


def _table() -> str:
    rows = [f"| family | {' | '.join(VERBS)} | why |", f"|---{'|---' * len(VERBS)}|---|"]
    rows += [f"| {name} | {' | '.join(['works'] * len(VERBS))} | |" for name in FAMILIES]
    rows += [
        f"| {name} | {' | '.join(['refused'] * len(VERBS))} | {_reason(model_type)} |"
        for name, model_type in REFUSED.items()
    ]
    return "\n".join(rows) + "\n"


def _reason(model_type: str) -> str:
    """What the product says of such a model, from its name's end to its first comma."""
    config = json.loads(AutoConfig.for_model(model_type).to_json_string(use_diff=False))
    with pytest.raises(InputError) as refused:
        check_kind(Path("it"), config)
    return str(refused.value).partition(") ")[2].partition(",")[0]


def _documented() -> set[str]:
    lines = DOCUMENT.read_text(encoding="utf-8").splitlines()
    return {line.split("|")[1].strip() for line in lines if line.startswith("|")}


@pytest.mark.parametrize("name", ["Llama 3.1", "Gemma 3 (text)", "Phi-3"])
def test_positions_beyond_the_original_context_show_in_the_logits(name: str, tmp_path: Path) -> None:
    plain = {"rope_type": "default", "rope_theta": 10000.0}
    by_layer = {"full_attention": plain, "sliding_attention": plain}
    unscaled = by_layer if name.startswith("Gemma") else plain
    scaled = torch.tensor(read(make_family(name, tmp_path / "scaled"))["logits"])
    other = torch.tensor(read(make_family(name, tmp_path / "unscaled", rope_parameters=unscaled))["logits"])
    assert ((scaled - other).norm(dim=1) / scaled.norm(dim=1))[-1] > 0.01
