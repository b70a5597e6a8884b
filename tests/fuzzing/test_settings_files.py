"""Recipes, profiles, suites, rubrics and the list of what to train, changed: read, or refused in a line."""

from collections.abc import Callable, Sequence
from pathlib import Path

from pipelines.profiles.checks import check
from pipelines.profiles.loading import load_profile
from pipelines.recipes import load_recipe
from storm_core.artifacts import open_directory
from storm_core.evaluation.suite import load_suite
from storm_core.finetuning.freezing import find_yaml
from storm_core.finetuning.patterns import match_parameters, read_patterns
from storm_core.judge_audit.rewordings import load_rewordings
from storm_core.judging.wording.rubrics import load_rubrics
from storm_core.sources.evaluation_sets import evaluation_sources
from tests.fuzzing.readers import Reader, fuzz, readers, times
from tests.fuzzing.yaml_mutations import mutate_yaml

ROOT = Path(__file__).parents[2]


def contents(*paths: str) -> Callable[[Path], Sequence[bytes]]:
    """Content of the project's own files."""
    return lambda _: [(ROOT / path).read_bytes() for path in paths]


def read_recipe(content: bytes, place: Path) -> None:
    (place / "it.yaml").write_bytes(content)
    load_recipe(place / "it.yaml")


def read_profile(content: bytes, place: Path) -> None:
    (place / "it.yaml").write_bytes(content)
    check(load_profile(str(place / "it.yaml")))


def read_suite(content: bytes, place: Path) -> None:
    (place / "it.yaml").write_bytes(content)
    data = open_directory(place)
    load_suite("it.yaml", data)
    evaluation_sources((), ("it.yaml",), data)


def read_rubric(content: bytes, place: Path) -> None:
    name = "framing" if b"roles" in content else "difficulty" if b"difficulty" in content else "educational_value"
    (place / f"{name}.yaml").write_bytes(content)
    given = open_directory(place)
    load_rewordings(load_rubrics(given), given)


def read_unfrozen(content: bytes, place: Path) -> None:
    (place / "unfrozen_parameters.yaml").write_bytes(content)
    path = find_yaml(open_directory(place))
    names = ["lm_head.weight", "model.embed_tokens.weight", "model.layers.0.mlp.up_proj.weight"]
    match_parameters(read_patterns(path), names, path)


_RUBRICS = "storm_core/judging/wording/rubrics"
_UNFROZEN = b"""unfrozen_parameters:
- ^lm_head.weight$
- ^model.embed_tokens.weight$
# mlp.up_proj layers
- model.layers.0.mlp.up_proj
"""


@times
@readers(
    Reader(
        name="recipe",
        valid=contents("recipes/smoke.yaml", "recipes/llama31_storm_8b.yaml"),
        mutate=mutate_yaml,
        read=read_recipe,
        inputs=100,
    ),
    Reader(
        name="profile",
        valid=contents(*(f"pipelines/profiles/{name}.yaml" for name in ("h100-node", "laptop-kind", "one-gpu"))),
        mutate=mutate_yaml,
        read=read_profile,
        inputs=100,
    ),
    Reader(
        name="suite",
        valid=contents("storm_core/evaluation/suites/smoke.yaml", "storm_core/evaluation/suites/article.yaml"),
        mutate=mutate_yaml,
        read=read_suite,
        inputs=150,
    ),
    Reader(
        name="rubric",
        valid=contents(*(f"{_RUBRICS}/{name}.yaml" for name in ("difficulty", "educational_value", "framing"))),
        mutate=mutate_yaml,
        read=read_rubric,
        inputs=100,
    ),
    Reader(name="unfrozen parameters", valid=lambda _: [_UNFROZEN], mutate=mutate_yaml, read=read_unfrozen, inputs=100),
)
def test_changed_settings_are_read_or_refused(reader: Reader[bytes], times: int, tmp_path: Path) -> None:
    fuzz(reader, times, tmp_path)
