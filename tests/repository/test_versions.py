"""The version is the same wherever it stands."""

import json
import re
from pathlib import Path

from storm_core import __version__

ROOT = Path(__file__).parents[2]


def test_images_are_built_with_the_librarys_version() -> None:
    bake = json.loads((ROOT / "images" / "docker-bake.json").read_text(encoding="utf-8"))
    assert bake["variable"]["VERSION"]["default"] == __version__


def test_changelog_begins_with_what_is_unreleased_and_then_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    sections = re.findall(r"^## (.+)$", text, re.M)
    assert sections[0] == "[Unreleased]"
    assert re.fullmatch(rf"\[{re.escape(__version__)}\] - \d{{4}}-\d\d-\d\d", sections[1])
