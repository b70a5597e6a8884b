"""Verdicts by hand."""

from collections.abc import Callable

import pytest

from storm_core.verdicts.schema import NO_ANSWER, Verdict

MakeVerdict = Callable[..., Verdict]


@pytest.fixture(scope="session")
def make_verdict() -> MakeVerdict:
    """Makes a verdict of these probabilities, on a rubric whose labels count 1, 2, 3 and so on."""

    def make(id: str, probabilities: tuple[float, ...], **changes: object) -> Verdict:
        labels = tuple(str(place + 1) for place in range(len(probabilities)))
        made = {
            "id": id,
            "source": "chat",
            "rubric": "educational_value",
            "rubric_hash": "r",
            "judge_digest": "j",
            "labels": labels,
            "values": tuple(float(label) for label in labels),
            "probabilities": probabilities,
            "label": labels[probabilities.index(max(probabilities))] if any(probabilities) else NO_ANSWER,
            "expected_value": sum(p * (place + 1) for place, p in enumerate(probabilities)),
            "label_mass": 0.5,
            "tokens": 10,
            "truncated": False,
        }
        return Verdict(**(made | changes))  # type: ignore[arg-type]

    return make
