"""Servers that fail: those that recover give the right answers, the others end the run in a line."""

import pytest

from storm_core.errors import InputError
from tests.judging.engines.judge_server import check, cuts_off, drips, hangs_up, is_slow, says
from tests.judging.judge_stand_in import KEY, engine_for


@pytest.mark.parametrize(
    "faults",
    [
        [says(429, b"slow down", Retry_After="0.3")],
        [says(500, b"oops"), says(503, b"")],
        [says(200, b"<html>busy</html>")],
        [says(200, b""), says(200, b"[]")],
        [says(200, b'{"choices": []}')],
        [says(200, b'{"choices": [{"logprobs": null}]}')],
        [says(200, b'{"choices": [{"logprobs": {"top_logprobs": [{"1": NaN}]}}]}')],
        [says(200, b'{"choices": [{"logprobs": {"top_logprobs": [{"1": 3.5}]}}]}')],
        [cuts_off],
        [hangs_up],
        [is_slow],
    ],
    ids=["429", "500", "html", "nothing", "no choices", "null", "nan", "no logarithm", "cut off", "hung up", "slow"],
)
def test_an_endpoint_that_recovers_gives_the_right_answers(server, tiny_judge, contexts, expected, faults):
    server.faults = list(faults)
    with engine_for(server, tiny_judge, endpoint_concurrency=2, endpoint_timeout_seconds=0.5) as engine:
        check(engine.read(contexts[:4]).ask(tiny_judge.educational_value), expected[0][:4])
    assert len(server.requests) == 1 + 4 + len(faults)


def test_retry_after_is_honoured(server, tiny_judge, contexts):
    server.faults = [says(429, b"", Retry_After="0.7")]
    with engine_for(server, tiny_judge) as engine:
        engine.read(contexts[:1]).ask(tiny_judge.educational_value)
    assert server.began[1] - server.began[0] >= 0.7


@pytest.mark.parametrize(
    ("always", "message"),
    [
        (says(429, b"quota"), r"still answers 429: quota \(after 2 tries\); what is scored is kept"),
        (says(500, b"oops"), r"still answers 500: oops \(after 2 tries\); what is scored is kept"),
        (says(404, b"no model judge"), "answers 404: no model judge; check endpoint and endpoint_model"),
        (says(401, b"wrong key " + KEY.encode()), r"answers 401: wrong key \*\*\*; does OPENAI_API_KEY hold a key"),
        (says(418, b"I am " + KEY.encode()), r"answers 418: I am \*\*\*"),
        (
            says(200, b"<html>hello</html>"),
            "it is not JSON; the answer is <html>hello</html>; is endpoint the base URL",
        ),
        (says(200, b""), "it is not JSON; the answer is nothing"),
        (says(200, b'{"choices": [{"text": "5"}]}'), "holds no log-probabilities; the server must support logprobs"),
        (says(200, b'{"usage": [1], "choices": []}'), "holds no log-probabilities"),
        (says(200, b"[" * 100_000), "it is not JSON"),
        (
            says(200, b'{"choices": [{"logprobs": {"top_logprobs": [{"1": -1%s}]}}]}' % (b"0" * 400)),
            "it gives '1' the log-probability -10000",
        ),
        (hangs_up, "cannot be reached: .*is the server up"),
        (is_slow, "did not answer in time, 2 times over"),
        (drips, "did not answer in time, 2 times over"),
        (says(200, b" " * 5_000_000), "it is longer than 4194304 bytes"),
    ],
)
def test_an_endpoint_that_does_not_recover_is_an_error_that_says_what_to_do(
    server, tiny_judge, contexts, always, message, capfd
):
    server.always = always
    options = {"endpoint_retries": 1, "endpoint_timeout_seconds": 0.3}
    with engine_for(server, tiny_judge, **options) as engine, pytest.raises(InputError, match=message) as caught:
        engine.read(contexts[:2]).ask(tiny_judge.educational_value)
    assert KEY not in str(caught.value) + "".join(capfd.readouterr())
    assert "\n" not in str(caught.value)


def test_nothing_listening_is_an_error_in_one_line(tiny_judge, contexts, server):
    options = {"endpoint": "http://127.0.0.1:9/v1", "endpoint_retries": 0}
    message = r"http://127.0.0.1:9/v1 cannot be reached: .*is the server up"
    with engine_for(server, tiny_judge, **options) as engine, pytest.raises(InputError, match=message):
        engine.read(contexts[:1]).ask(tiny_judge.educational_value)


def test_a_server_that_reads_ids_as_text_is_found_out(server, tiny_judge, contexts):
    server.style = "text only"
    with engine_for(server, tiny_judge) as engine, pytest.raises(InputError, match="set endpoint_prompts to text"):
        engine.read(contexts).ask(tiny_judge.educational_value)
