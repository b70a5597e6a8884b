"""The names of the images, and that the build makes what the components name."""

import importlib
import json
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
import yaml

from components import images
from components.stage_component import component
from pipelines.__main__ import main
from storm_core import __version__
from storm_core.code_identity import code_identity
from storm_core.errors import InputError
from storm_core.source_imports import closure
from storm_core.stages import STAGES, load_stage

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "recipes" / "smoke.yaml"
DIGESTS = {"core": "sha256:" + "a" * 64, "training": "sha256:" + "b" * 64, "vllm": "sha256:" + "c" * 64}


@pytest.fixture(scope="module")
def build() -> Any:
    sys.path.insert(0, str(ROOT / "images"))
    try:
        return importlib.import_module("build")
    finally:
        sys.path.remove(str(ROOT / "images"))


@pytest.fixture(scope="module")
def bake(build: Any) -> Any:
    return json.loads(build.BAKE_FILE.read_text())


def image_of(verb: str) -> str:
    image: str = component(verb).component_spec.implementation.container.image
    return image


def locked(name: str) -> dict[str, str]:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    return dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", text, re.M))


def metadata(tmp_path: Path, *, registry: str, targets: tuple[str, ...] = ("core", "training", "vllm")) -> Path:
    written = {
        target: {
            "image.name": f"{registry}/storm-{target}:{__version__}",
            "containerimage.digest": DIGESTS[target],
            "containerimage.config.digest": "sha256:" + "0" * 64,
        }
        for target in targets
    }
    path = tmp_path / "metadata.json"
    path.write_text(json.dumps({"buildx.build.warnings": {}, **written}))
    return path


def compiled_images(output: Path, *more: str) -> set[str]:
    assert main(["compile", "--recipe", str(RECIPE), "--output", str(output), *more]) == 0
    document = next(yaml.safe_load_all(output.read_text()))
    return {executor["container"]["image"] for executor in document["deploymentSpec"]["executors"].values()}


def test_bake_builds_the_images_that_components_name(build: Any, bake: Any) -> None:
    built = {tag for name in ("core", "training", "vllm") for tag in build.resolve(bake, name, {})["tags"]}
    assert built == set(images.IMAGES)


def test_bake_builds_the_images_for_gpus_that_a_profile_can_name(build: Any, bake: Any) -> None:
    built = {tag for name in bake["group"]["cuda"]["targets"] for tag in build.resolve(bake, name, {})["tags"]}
    assert built == set(images.CUDA_OF.values())


@pytest.mark.parametrize("target", ["core", "training"])
def test_image_is_checked_for_the_verbs_whose_components_run_in_it(build: Any, bake: Any, target: str) -> None:
    resolved = build.resolve(bake, target, {})
    expected = {verb for verb in STAGES if image_of(verb) in resolved["tags"]}
    assert set(resolved["args"]["VERBS"].split(",")) == expected


def test_training_holds_core_at_the_same_versions_so_that_they_share_layers() -> None:
    core, training = locked("core"), locked("training")
    assert core.items() <= training.items()


@pytest.mark.parametrize("name", ["core", "training"])
def test_images_hold_what_the_tests_ran_with(name: str) -> None:
    development = locked("development")
    assert {package: version for package, version in locked(name).items() if package in development} == {
        package: development[package] for package in locked(name) if package in development
    }


@pytest.mark.parametrize("target", ["core", "training"])
def test_image_has_every_package_that_its_stages_name(build: Any, bake: Any, target: str) -> None:
    arguments = build.resolve(bake, target, {})["args"]
    packages = packages_distributions()
    there = {*locked(target), *locked("torch-cpu"), "storm-kubeflow"}
    for verb in arguments["VERBS"].split(","):
        modules = closure([load_stage(verb).run.partition(":")[0], "storm_core.cli", "storm_core.execution"]).outside
        tops = {name.partition(".")[0] for name in modules} - {
            *sys.stdlib_module_names,
            *arguments["WITHOUT"].split(","),
        }
        lacking = {top for top in tops if not {name.lower().replace("_", "-") for name in packages[top]} & there}
        assert not lacking, f"storm {verb} names {lacking}"


@pytest.mark.parametrize("target", ["core", "training"])
def test_image_locks_the_releases_that_results_are_found_by_here(build: Any, bake: Any, target: str) -> None:
    releases = {name: version.partition("+")[0] for name, version in {**locked(target), **locked("torch-cpu")}.items()}
    for verb in build.resolve(bake, target, {})["args"]["VERBS"].split(","):
        here = code_identity(load_stage(verb))["packages"]
        named = {name: {"yaml": "pyyaml"}.get(name, name).replace("_", "-") for name in here if name != "python"}
        assert {name: releases.get(locked_name) for name, locked_name in named.items()} == {
            name: here[name] for name in named
        }


@pytest.mark.parametrize("path", sorted((ROOT / "requirements").glob("*.txt")), ids=lambda path: path.stem)
def test_every_locked_package_has_a_hash(path: Path) -> None:
    packages = re.findall(r"^[a-z0-9._-]+==\S+ \\\n    --hash=sha256:[0-9a-f]{64}", path.read_text(), re.M)
    assert len(packages) == len(re.findall(r"^[a-z0-9._-]+==", path.read_text(), re.M)) > 0


def test_variables_of_the_bake_file_come_from_the_environment(build: Any, bake: Any) -> None:
    resolved = build.resolve(bake, "core", {"REGISTRY": "ghcr.io/someone/", "TORCH_INDEX": ""})
    assert resolved["tags"] == [f"ghcr.io/someone/storm-core:{__version__}"]
    assert resolved["args"]["TORCH_INDEX"] == ""
    assert "@sha256:" in resolved["args"]["BASE_IMAGE"]


def test_cuda_variant_is_the_same_image_with_other_arguments(build: Any, bake: Any) -> None:
    cpu, cuda = (build.resolve(bake, name, {}) for name in ("training", "training-cuda"))
    changed = {name for name, value in cuda["args"].items() if cpu["args"].get(name) != value}
    assert changed == {"TORCH", "TORCH_INDEX", "KERNELS", "WITHOUT", "RUNTIME_PACKAGES"}
    assert cuda["tags"] == [f"storm-training:{__version__}-cuda"]


def test_compiled_pipeline_names_images_in_the_registry(tmp_path: Path) -> None:
    found = compiled_images(tmp_path / "p.yaml", "--registry", "ghcr.io/someone/")
    assert found == {f"ghcr.io/someone/{image}" for image in (images.CORE, images.TRAINING)}


def test_compiled_pipeline_pins_images_by_the_digests_of_the_build(tmp_path: Path) -> None:
    digests = metadata(tmp_path, registry="localhost:5000/storm")
    found = compiled_images(tmp_path / "p.yaml", "--registry", "localhost:5000/storm", "--digests", str(digests))
    assert found == {
        f"localhost:5000/storm/{images.CORE}@{DIGESTS['core']}",
        f"localhost:5000/storm/{images.TRAINING}@{DIGESTS['training']}",
    }


def test_image_without_digest_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    digests = metadata(tmp_path, registry="ghcr.io/someone", targets=("core",))
    arguments = ["--registry", "ghcr.io/someone", "--digests", str(digests)]
    assert main(["compile", "--recipe", str(RECIPE), "--output", str(tmp_path / "p.yaml"), *arguments]) == 1
    assert f"holds no digest for {images.TRAINING}" in capsys.readouterr().err
    assert not (tmp_path / "p.yaml").exists()


def test_image_for_gpus_is_named_by_its_own_digest(tmp_path: Path) -> None:
    cuda = images.CUDA_OF[images.TRAINING]
    written = {"training-cuda": {"image.name": f"ghcr.io/a/{cuda}", "containerimage.digest": DIGESTS["training"]}}
    (tmp_path / "metadata.json").write_text(json.dumps(written))
    assert images.pinned("ghcr.io/a", tmp_path / "metadata.json") == {cuda: f"ghcr.io/a/{cuda}@{DIGESTS['training']}"}
    assert images.pinned("ghcr.io/a")[cuda] == f"ghcr.io/a/{cuda}"


def test_digests_without_a_registry_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    digests = str(metadata(tmp_path, registry="ghcr.io/someone"))
    output = str(tmp_path / "p.yaml")
    assert main(["compile", "--recipe", str(RECIPE), "--output", output, "--digests", digests]) == 1
    assert "--registry" in capsys.readouterr().err


def test_judge_in_vllm_runs_in_its_image_and_every_other_verb_where_it_did() -> None:
    assert images.chosen_by({"score_engine": "vllm"}) == {"score": images.VLLM, "audit": images.VLLM}
    assert images.chosen_by({"score_engine": "transformers"}) == images.chosen_by({}) == {}


def test_compiled_recipe_with_a_judge_in_vllm_names_its_image(tmp_path: Path) -> None:
    recipe = {**yaml.safe_load(RECIPE.read_text()), "score_engine": "vllm"}
    (tmp_path / "vllm.yaml").write_text(yaml.safe_dump(recipe))
    output = tmp_path / "p.yaml"
    assert main(["compile", "--recipe", str(tmp_path / "vllm.yaml"), "--output", str(output)]) == 0
    executors = next(yaml.safe_load_all(output.read_text()))["deploymentSpec"]["executors"].values()
    found = {executor["container"]["command"][1]: executor["container"]["image"] for executor in executors}
    assert {verb for verb, image in found.items() if image == images.VLLM} == {"score", "audit"}


@pytest.mark.parametrize("text", ["[]", "{}", "nonsense", '{"core": {"image.name": "storm-core:1"}}', '{"core": 1}'])
def test_metadata_without_digests_is_an_input_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "metadata.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"metadata\.json"):
        images.pinned("ghcr.io/someone", path)
