"""The table in docs/data.md of what was tried with servers of judges: made of what each gave in a run."""

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from storm_core.errors import InputError
from storm_core.judging.judge import Judge
from storm_core.records import Example
from tests.judging.judge_stand_in import QUIRKS, THOUGHTS, StandIn, contexts_of, drawn_examples, engine_for, text_of

DOCUMENT = Path(__file__).parents[2] / "docs" / "data.md"
BEGIN, END = "<!-- table of servers -->\n", "<!-- end of table -->\n"
# With STORM_WRITE_TABLE=1 the table in the document is written, not compared.
WRITES = os.environ.get("STORM_WRITE_TABLE") == "1"


def test_the_table_says_what_came_of_each_server(server: StandIn, tiny_judge: Judge, draw: random.Random) -> None:
    words, examples = drawn_examples(draw, 3)
    text = DOCUMENT.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    rows = ["| the server | status | says it once | always, of one example | always |", "|---|---|---|---|---|"]
    rows += [
        f"| {name} | {status} | {' | '.join(tried(server, tiny_judge, examples, words[1], habit))} |"
        for name, status, habit in habits()
    ]
    made = f"{before}{BEGIN}{chr(10).join(rows)}\n{END}{rest.partition(END)[2]}"
    if WRITES:
        DOCUMENT.write_text(made, encoding="utf-8")
    assert made == text, "docs/data.md is not what the engine does; STORM_WRITE_TABLE=1 writes it"


Habit = Callable[[dict[str, Any]], tuple[int, bytes]]


def habits() -> list[tuple[str, int, Habit]]:
    """Every habit of the stand-in's tables, with the status that comes with it."""

    def answers(quirk: Any) -> Habit:
        return lambda _: quirk.reply("its words")

    def thinks(choice: Any) -> Habit:
        return lambda body: (200, StandIn.written(choice(body)))

    quirks = [(name, quirk.status, answers(quirk)) for name, quirk in QUIRKS.items()]
    return quirks + [(f"{name}: a thought first", 200, thinks(choice)) for name, choice in THOUGHTS.items()]


def tried(server: StandIn, judge: Judge, examples: list[Example], word: str, habit: Habit) -> list[str]:
    """What came of it where the server does so once, always about one example, and always."""
    once = [True]

    def first(body: dict[str, Any]) -> tuple[int, bytes] | None:
        return habit(body) if word in text_of(judge, body) and once and once.pop() else None

    def about_one(body: dict[str, Any]) -> tuple[int, bytes] | None:
        return habit(body) if word in text_of(judge, body) else None

    return [outcome(server, judge, examples, instead) for instead in (first, about_one, habit)]


def outcome(server: StandIn, judge: Judge, examples: list[Example], instead: Any) -> str:
    """What a run that asks about the examples comes to."""
    server.instead = instead
    with engine_for(server, judge, endpoint_prompts="text", endpoint_retries=1) as engine:
        try:
            answers = engine.read(contexts_of(judge, examples)).ask(judge.educational_value)
        except InputError:
            return "the run ends"
    unanswered = sum(not answer.is_answer for answer in answers)
    return f"{unanswered} unanswered" if unanswered else "answered"


@pytest.mark.parametrize("name", [*QUIRKS, *THOUGHTS])
def test_every_habit_is_in_the_table(name: str) -> None:
    assert f"\n| {name}" in DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
