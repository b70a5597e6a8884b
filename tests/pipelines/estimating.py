"""A recipe to estimate."""

from pathlib import Path
from typing import Any

import yaml


def write_recipe(directory: Path, base_model: object, **arguments: Any) -> Path:
    path = directory / "recipe.yaml"
    recipe = {"base_model": str(base_model), "sibling_model": "models/b", "data": "data", **arguments}
    needed = {"prepare_sources": ["a=messages:a"], "select_min_educational_value": 1.0}
    path.write_text(yaml.safe_dump({**needed, **recipe}))
    return path
