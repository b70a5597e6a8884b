"""Parts for the tests of judging, selection and the audit: a judge in float32, examples, and verdicts made by hand."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from storm_core.checkpoints.loading import load_model, load_tokenizer
from storm_core.judging.engines import endpoint as endpoint_module
from storm_core.judging.engines.transformers_engine import TransformersEngine
from storm_core.judging.judge import Judge
from storm_core.judging.wording.rubrics import load_rubrics
from storm_core.records import Example, Message, make_example
from storm_core.verdicts.schema import Verdict
from tests.judging.judge_stand_in import KEY, StandIn, stand_in

# A fixed number of threads: the order of additions, and so the last digit, depends on it.
torch.set_num_threads(1)


@pytest.fixture
def quick_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key, and no time lost between one request and its repetition."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr(endpoint_module, "_SECONDS_BETWEEN_TRIES", 0.01)
    monkeypatch.setattr(endpoint_module, "_FIRST_PAUSE_SECONDS", 0.01)


@pytest.fixture
def server(quick_endpoint: None) -> Iterator[StandIn]:
    with stand_in() as server:
        yield server


@pytest.fixture
def draw(request: pytest.FixtureRequest) -> random.Random:
    """A random source of each test's own, the same in each run."""
    return random.Random(request.node.name)  # noqa: S311 (made up, not secret)


@pytest.fixture(scope="session")
def tiny_judge(tiny_llama: Path) -> Judge:
    return Judge(
        tokenizer=load_tokenizer(tiny_llama),
        rubrics=load_rubrics(),
        digest="j" * 64,
        open_engine=lambda _: TransformersEngine(load_model(tiny_llama, torch.float32)),
    )


@pytest.fixture(scope="session")
def examples() -> list[Example]:
    """Nine examples of very different lengths from two sources, one of them with a system prompt and a tool result."""
    chat = [
        make_example(
            "chat",
            [
                Message(role="user", content="What is a fox? " * (1 + 3 * number)),
                Message(role="assistant", content=f"An animal, number {number}. " * (1 + number % 4)),
            ],
        )
        for number in range(8)
    ]
    calls = make_example(
        "tools",
        [
            Message(role="system", content='Tools: {"name": "get_weather"}'),
            Message(role="user", content="Weather in Zürich? 天気"),
            Message(role="assistant", content='<tool_call>{"tool_name": "get_weather"}</tool_call>'),
            Message(role="tool", content='{"degrees": 7}'),
            Message(role="assistant", content="Seven degrees."),
        ],
    )
    return [*chat[:4], calls, *chat[4:]]


MakeVerdict = Callable[..., Verdict]


@pytest.fixture(scope="session")
def make_verdict() -> MakeVerdict:
    """Makes a verdict that says `label` of the example `id`; for numbers the expected value may be given apart."""

    def make(id: str, rubric: str, label: str, *, expected_value: float | None = None, **changes: Any) -> Verdict:
        labels = ("1", "2", "3", "4", "5") if rubric == "educational_value" else ("easy", "medium", "hard")
        value = float(labels.index(label) + 1) if expected_value is None else expected_value
        return Verdict(
            **{"source": "chat", "rubric_hash": "r" * 64 + rubric, "judge_digest": "j" * 64, **changes},
            id=id,
            rubric=rubric,
            labels=labels,
            values=tuple(float(place + 1) for place in range(len(labels))),
            probabilities=tuple(float(other == label) for other in labels),
            label=label,
            expected_value=value,
            label_mass=0.5,
            tokens=10,
            truncated=False,
        )

    return make
