from pathlib import Path

import pytest
import yaml

from pipelines.__main__ import main
from pipelines.recipes import load_recipe
from storm_core.errors import InputError

ROOT = Path(__file__).parents[2]
SMOKE = ROOT / "recipes" / "smoke.yaml"


def changed(tmp_path: Path, **arguments: object) -> Path:
    recipe = {**yaml.safe_load(SMOKE.read_text()), **arguments}
    path = tmp_path / "changed.yaml"
    path.write_text(yaml.safe_dump({name: value for name, value in recipe.items() if value is not None}))
    return path


@pytest.mark.parametrize("recipe", sorted((ROOT / "recipes").glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_recipe_is_valid(recipe: Path) -> None:
    assert load_recipe(recipe)["base_model"]


def test_recipe_for_llama_has_the_articles_settings_and_those_of_birbal_and_says_which() -> None:
    path = ROOT / "recipes" / "llama31_storm_8b.yaml"
    recipe = load_recipe(path)
    article = {"scan_unfrozen_percent": 50.0, "train_epochs": 4.0, "select_difficulties": ["medium", "hard"]}
    birbal = {
        "train_learning_rate": 2e-5,
        "train_learning_rate_schedule": "cosine",
        "train_packing": True,
        "train_max_length": 8192,
    }
    assert recipe == {**recipe, **article, **birbal}
    lines = {line.partition(":")[0]: line for line in path.read_text(encoding="utf-8").splitlines()}
    for name in birbal:
        assert lines[name].endswith("# not published; Birbal")
    for name in article:
        assert not any(mark in lines[name] for mark in ("ours", "Birbal"))
    unmarked = [name for name in recipe if name.startswith("train_") and "#" not in lines[name]]
    assert unmarked == ["train_epochs"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"train_learning_rat": 1e-4}, "unknown argument 'train_learning_rat'; did you mean train_learning_rate"),
        ({"zzz": 1}, "unknown argument 'zzz'"),
        ({"score_shard": 1}, "unknown argument 'score_shard'"),
        ({"merge_t": 1.5}, "merge_t must be from 0.0 to 1.0, got 1.5"),
        ({"merge_t": "half"}, "merge_t must be a number, got 'half'"),
        ({"prepare_sources": "one"}, "prepare_sources must be a JSON list of strings"),
        ({"base_model": 7}, "base_model must be a string, got 7"),
        ({"base_model": None}, "base_model must be given"),
        ({"register_registered_model_name": "a:b"}, "register_registered_model_name must be a name of at most"),
        ({"rerun": "merge"}, "rerun must be a list of verbs and tasks, got 'merge'"),
        ({"rerun": ["evaluate-merged", "mrege"]}, "rerun names 'mrege', which is no task"),
    ],
)
def test_bad_argument_is_named_with_the_file(tmp_path: Path, arguments: dict[str, object], message: str) -> None:
    path = changed(tmp_path, **arguments)
    with pytest.raises(InputError, match=message) as raised:
        load_recipe(path)
    assert str(path) in str(raised.value)


def test_name_of_the_registered_model_that_is_given_replaces_the_recipe_s(tmp_path: Path) -> None:
    path = changed(tmp_path, register_registered_model_name="of-the-recipe")
    assert load_recipe(path)["register_registered_model_name"] == "of-the-recipe"
    assert load_recipe(path, "team-b")["register_registered_model_name"] == "team-b"


@pytest.mark.parametrize("command", [["run"], ["compile", "--output", "p.yaml"], ["submit", "--store", "s3://models"]])
def test_name_that_mlflow_would_refuse_ends_the_command(
    command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    flags = ["--registered-model-name", "team/b", *(["--allow-local-images"] if command[0] == "submit" else [])]
    assert main([*command, "--recipe", str(SMOKE), *flags]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert "error: --registered-model-name must be a name of at most 256 characters" in error
    assert "got 'team/b'" in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["- a list", "a: [", "\x00", ""])
def test_garbage_is_an_input_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "garbage.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"garbage\.yaml"):
        load_recipe(path)


@pytest.mark.parametrize("command", [["run"], ["compile", "--output", "p.yaml"]])
def test_unknown_argument_ends_the_command_before_anything_runs(
    tmp_path: Path, command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = changed(tmp_path, no_such_argument=1)
    monkeypatch.chdir(tmp_path)
    assert main([*command, "--recipe", str(path)]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "no_such_argument" in error
    assert [left.name for left in tmp_path.iterdir()] == ["changed.yaml"]


def test_output_that_kfp_cannot_read_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["compile", "--recipe", str(SMOKE), "--output", str(tmp_path / "p.json")]) == 1
    assert "output must be a .yaml file" in capsys.readouterr().err
