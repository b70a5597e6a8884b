"""docs/profiles.md shows every field as the code declares it."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.profiles.checks import check
from pipelines.profiles.fields import Profile, TaskProfile
from pipelines.profiles.loading import load_profile, shipped
from pipelines.profiles.parts import EnvironmentSource, FileSource, Toleration
from pipelines.profiles.training_nodes import Claim, TrainingNodes

PAGE = (Path(__file__).parents[2] / "docs" / "profiles.md").read_text(encoding="utf-8")


def table(declared: type) -> str:
    """The fields of a dataclass as rows of a table."""
    return "\n".join(row(field) for field in dataclasses.fields(declared))


def row(field: "dataclasses.Field[Any]") -> str:
    kind, meaning = field.metadata["kind"], field.metadata["meaning"]
    default = f" (default: {field.default})" if field.default not in (None, (), False, dataclasses.MISSING) else ""
    return f"| `{field.name}` | {kind.allowed}{default} | {meaning} |"


DECLARED = [Profile, TaskProfile, Toleration, EnvironmentSource, FileSource, TrainingNodes, Claim]


@pytest.mark.parametrize("declared", DECLARED)
def test_page_has_the_table_of_every_field(declared: type) -> None:
    assert table(declared) in PAGE, f"the table in docs/profiles.md must be\n{table(declared)}"


def test_page_names_every_shipped_profile() -> None:
    assert re.findall(r"^\| `([a-z0-9-]+)` \| [^|]+ \|$", PAGE, re.M) == shipped()


def test_examples_of_the_page_are_profiles(tmp_path: Path) -> None:
    examples = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.M | re.S)
    assert len(examples) > 1
    for example in examples:
        path = tmp_path / "example.yaml"
        path.write_text(example)
        assert isinstance(yaml.safe_load(example), dict)
        if not example.startswith("# Argo"):
            check(load_profile(str(path)))
