"""A new option is one field of a stage's config: all else is made from it."""

import dataclasses
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from kfp import dsl, local
from kfp.local import status, task_handler_interface

from components.signatures import RERUN_PARAMETER, Parameter
from components.stage_component import component
from pipelines.__main__ import main as pipelines
from pipelines.arguments import option_arguments
from pipelines.graph import Graph, make_pipeline
from pipelines.local import quiet_kfp, tasks_run_by
from pipelines.tasks import TaskSettings
from storm_core.cli import build_parser
from storm_core.cli import main as storm
from storm_core.config import option
from storm_core.spectrum.config import SCAN, ScanConfig
from storm_core.spectrum.stage import run as scan
from storm_core.stage import Inputs, Results

ROOT = Path(__file__).parents[2]
HELP = "what the weights are weighed with"


@dataclasses.dataclass(frozen=True, kw_only=True)
class WeighingConfig(ScanConfig):
    """The scan's options and a new one."""

    scales: str = option(HELP, "kitchen", choices=("kitchen", "letter"))


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[WeighingConfig]:
    """What `run` was given, of a scan that has the new option."""
    configs: list[WeighingConfig] = []

    def run(config: WeighingConfig, inputs: Inputs, outputs: Mapping[str, Path]) -> Results:
        configs.append(config)
        return scan(config, inputs, outputs)

    module = ModuleType("weighing")
    module.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "weighing", module)
    stage = dataclasses.replace(SCAN, config=WeighingConfig, run="weighing:run")
    monkeypatch.setattr("storm_core.spectrum.config.SCAN", stage)
    return configs


class InThisProcess(task_handler_interface.ITaskHandler):
    """Runs a task's command as a call."""

    def __init__(self, image: str, full_command: list[str], pipeline_root: str, runner: Any, env_vars: Any) -> None:
        self.arguments = full_command[1:]

    def run(self) -> status.Status:
        return status.Status.SUCCESS if storm(self.arguments) == 0 else status.Status.FAILURE


def test_command_line_has_it(seen: list[WeighingConfig], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args(["scan", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert f'--scales SCALES {HELP} (a string; one of kitchen, letter; default "kitchen")' in shown


def test_component_has_it(seen: list[WeighingConfig]) -> None:
    specification = component("scan").component_spec
    assert specification.inputs["scales"].default == "kitchen"
    assert "--scales" in specification.implementation.container.args


def test_compiled_pipeline_and_its_page_have_it(seen: list[WeighingConfig], tmp_path: Path) -> None:
    recipe = {**yaml.safe_load((ROOT / "recipes" / "smoke.yaml").read_text()), "scan_scales": "letter"}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    arguments = ["--recipe", str(tmp_path / "recipe.yaml"), "--output", str(tmp_path / "p.yaml")]
    assert pipelines(["compile", *arguments]) == 0
    document = next(yaml.safe_load_all((tmp_path / "p.yaml").read_text()))
    parameter = document["root"]["inputDefinitions"]["parameters"]["scan_scales"]
    assert parameter["defaultValue"] == "letter"
    assert parameter["literals"] == ["kitchen", "letter"]
    assert parameter["description"].startswith(HELP)
    given = document["root"]["dag"]["tasks"]["scan"]["inputs"]["parameters"]["scales"]
    assert given == {"componentInputParameter": "scan_scales"}


def test_wrong_value_is_refused_by_name_before_anything_starts(
    seen: list[WeighingConfig], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = {**yaml.safe_load((ROOT / "recipes" / "smoke.yaml").read_text()), "scan_scales": "bathroom"}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    for command in (["compile", "--output", str(tmp_path / "p.yaml")], ["run", "--runs-directory", str(tmp_path)]):
        assert pipelines([*command, "--recipe", str(tmp_path / "recipe.yaml")]) == 1
        assert "scan_scales must be one of kitchen, letter, got 'bathroom'" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.yaml"]


def test_run_gets_the_value_that_a_pipeline_was_given(
    seen: list[WeighingConfig], tmp_path: Path, tiny_llama: Path
) -> None:
    def build(graph: Graph) -> dsl.Artifact:
        model = graph.task("fetch", source=graph.values["base_model"]).outputs["model"]
        return graph.task("scan", model=model).outputs["scan"]

    source = Parameter(name="base_model", annotation=str, help="the model")
    options = [*option_arguments("fetch").values(), *option_arguments("scan").values()]
    pipeline = make_pipeline(
        build,
        [source, RERUN_PARAMETER, *options],
        TaskSettings(),
        name="weigh",
        description="Weigh.",
        returns=dsl.Artifact,
    )
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(tmp_path), raise_on_error=True)
    with tasks_run_by(InThisProcess), quiet_kfp():
        pipeline(base_model=str(tiny_llama), scan_scales="letter", scan_unfrozen_percent=25.0)
    (config,) = seen
    assert (config.scales, config.unfrozen_percent) == ("letter", 25.0)
