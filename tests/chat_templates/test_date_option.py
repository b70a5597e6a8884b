"""The date that templates are told is a day, in whichever stage it is given."""

from dataclasses import fields
from typing import Any

import pytest

from storm_core.chat_templates.date import OPTION
from storm_core.errors import InputError
from storm_core.stages import STAGES, load_stage

DATED = [verb for verb in STAGES if OPTION in {field.name for field in fields(load_stage(verb).config)}]


def test_stages_that_render_conversations_have_the_option() -> None:
    assert {"score", "audit", "train", "evaluate"} <= set(DATED)


@pytest.mark.parametrize("verb", DATED)
@pytest.mark.parametrize("text", ["", "today", "26 Jul 2024", "2024-02-30", "2024-07-26T00:00"])
def test_what_is_no_day_is_refused_by_every_stage(verb: str, text: str) -> None:
    config: Any = load_stage(verb).config
    with pytest.raises(InputError, match=f"^template_date must be a day written as 2024-07-26, got '{text}'$"):
        config(**{OPTION: text})
    assert getattr(config(**{OPTION: "2024-02-29"}), OPTION) == "2024-02-29"
