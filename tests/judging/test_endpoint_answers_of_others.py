"""What other servers answer: probabilities that are none, labels behind a blank, an answer that ended with an error."""

import json
import math
from typing import Any

import pytest

from storm_core.judging.engines.endpoint_failures import Kind, read_failure
from storm_core.judging.engines.endpoint_responses import NonsenseError, read_answer

LABELS = {7: "4", 8: "5"}


def body(shares: dict[str, float]) -> bytes:
    top = [{"token": token, "logprob": math.log(share)} for token, share in shares.items()]
    return json.dumps({"choices": [{"logprobs": {"content": [{"top_logprobs": top}]}}]}).encode()


@pytest.mark.parametrize("shares", [{"4": 1.0, "5": 1.0}, {"4": 0.9, "a": 0.8}, dict.fromkeys("abcdef", 0.5)])
def test_probabilities_that_add_up_to_more_than_one_are_none(shares: dict[str, float]) -> None:
    with pytest.raises(NonsenseError, match=r"the probabilities add up to (2|1\.7|3)"):
        read_answer(body(shares), LABELS, prompt_tokens=None)


@pytest.mark.parametrize("mark", [" ", "\u0120", "\u2581", "\n", "\u010a"])
def test_a_blank_before_a_label_is_none_where_text_was_sent(mark: str) -> None:
    answer = read_answer(body({f"{mark}4": 0.5, "4": 0.2, f"{mark}5": 0.2, "four": 0.1}), LABELS, prompt_tokens=None)
    assert answer.label_mass == pytest.approx(0.9)
    assert answer.probabilities == pytest.approx((7 / 9, 2 / 9))
    # Token ids say which token is meant.
    assert read_answer(body({f"{mark}4": 0.5, "4": 0.2}), LABELS, prompt_tokens=9).label_mass == pytest.approx(0.2)


def test_an_answer_that_ended_with_an_error_may_pass() -> None:
    content = json.dumps({"choices": [{"finish_reason": "error", "message": {"content": ""}}]}).encode()
    failure = read_failure(200, {}, content)
    assert failure is not None and failure.kind is Kind.PASSING and "ended with an error" in failure.words


@pytest.mark.parametrize(
    ("words", "is_key"),
    [
        ("API key not valid. Please pass a valid API key.", True),
        ("Incorrect API key provided: sk-1.", True),
        ("Invalid access key", True),
        ("Missing API key", True),
        ("this prompt asks for an API: key points are missing", False),
        ("the prompt is too long", False),
    ],
)
@pytest.mark.parametrize("status", [400, 403])
def test_a_key_is_told_from_a_text_by_what_is_said(words: str, is_key: bool, status: int) -> None:
    failure = read_failure(status, {}, json.dumps({"error": {"message": words}}).encode())
    assert failure is not None and (failure.status, failure.kind) == (
        (401, Kind.FINAL) if is_key else (status, Kind.REFUSED)
    )


@pytest.mark.parametrize("answer", [{"code": 0, "message": "success"}, {"error": None}, {"error": {}, "msg": "ok"}])
def test_words_beside_an_answer_are_no_failure(answer: dict[str, Any]) -> None:
    assert read_failure(200, {}, json.dumps({**answer, "choices": [{"text": "4"}]}).encode()) is None


def test_a_sum_a_little_above_one_is_rounding() -> None:
    assert read_answer(body({"4": 0.7, "5": 0.2, "a": 0.16}), LABELS, prompt_tokens=None).is_answer
