"""Servers that refuse an example, a form or everything; what was refused is asked again, and nothing else."""

import pytest

from storm_core.artifacts import open_directory
from storm_core.errors import InputError
from storm_core.verdicts.settings import refuse_mixed
from tests.judging.engines.judge_server import check, says
from tests.judging.judge_stand_in import engine_for, score

EVERY_REQUEST = "refuses every request .*of an empty example too, with 422: no logprobs here;"


def test_a_server_that_refuses_every_form_is_an_error(server, tiny_judge, contexts):
    server.style = "refuses"
    with engine_for(server, tiny_judge) as engine, pytest.raises(InputError, match=EVERY_REQUEST):
        engine.read(contexts).ask(tiny_judge.educational_value)


def test_an_example_that_a_server_refuses_counts_as_without_an_answer(server, tiny_judge, contexts, expected, capsys):
    # The second request is about the first example: the first one finds out what the server takes.
    server.faults = [None, says(400, b"content policy")]
    with engine_for(server, tiny_judge, endpoint_concurrency=1) as engine:
        refused, *rest = engine.read(contexts[:4]).ask(tiny_judge.educational_value)
    assert (refused.probabilities, refused.label_mass, refused.unseen_mass) == ((0.0,) * 5, 0.0, 1.0)
    assert not refused.is_answer and all(answer.is_answer for answer in rest)
    check(rest, expected[0][1:4])
    assert "refuses 1 of 4 examples, which count as without an answer; the last with 400: content policy" in (
        capsys.readouterr().err
    )


def test_a_server_may_refuse_the_very_first_example(server, tiny_judge, contexts, expected):
    server.faults = [says(400, b"too long")] * 3
    with engine_for(server, tiny_judge, endpoint_concurrency=1) as engine:
        check(engine.read(contexts[:2]).ask(tiny_judge.educational_value), expected[0][:2])


def test_a_server_that_begins_to_refuse_everything_is_an_error(server, tiny_judge, contexts):
    server.faults = [None] * 3
    server.always = says(400, b"no model is loaded")
    message = "refuses what it took before, with 400: no model is loaded; what is scored is kept"
    with engine_for(server, tiny_judge, endpoint_concurrency=1) as engine, pytest.raises(InputError, match=message):
        engine.read(contexts[:4]).ask(tiny_judge.educational_value)


# Of the nine prompts with the first question, the longer one, in tokens: 177 218 260 263 284 302 326 371 414.
def test_examples_too_long_for_a_server_are_unanswered_and_the_others_are_scored(
    server, tiny_llama, prepared, tmp_path, capsys
):
    server.refuses = lambda ids: len(ids) > 292
    outcome = score(server, tiny_llama, prepared, tmp_path / "out" / "verdicts")
    assert (outcome.metrics["examples"], outcome.metrics["educational_value_unanswered"]) == (9, 4)
    assert outcome.metrics["difficulty_asked"] == 5
    said = capsys.readouterr().err
    assert "refuses 4 of 9 examples, which count as without an answer; the last with 400: " in said
    assert "tokens exceed the maximum context length" in said
    assert "the judge gave no answer about 4 examples" in said


def test_a_server_may_refuse_all_of_the_first_batch(server, tiny_llama, prepared, tmp_path):
    server.refuses = lambda ids: len(ids) > 200
    # Eight at once, the longest first.
    options = {"endpoint_concurrency": 1, "batch_size": 1}
    outcome = score(server, tiny_llama, prepared, tmp_path / "out" / "verdicts", **options)
    assert (outcome.metrics["educational_value_unanswered"], outcome.metrics["difficulty_asked"]) == (8, 1)


def numbers_asked(server, contexts):
    """Of each request since the last call, the place of its context; None for one about no example."""
    starts = {context.ids: number for number, context in enumerate(contexts)}
    prompts = [tuple(body["prompt"]) for _, _, body in server.requests]
    server.requests.clear()
    return [next((starts[ids] for ids in starts if prompt[: len(ids)] == ids), None) for prompt in prompts]


@pytest.mark.parametrize("output", ["verdicts", "another"])
@pytest.mark.parametrize("store", [None, "store"])
def test_what_a_server_refused_is_asked_again_and_nothing_else(
    server, tiny_llama, prepared, contexts, tmp_path, monkeypatch, capsys, store, output
):
    if store:
        monkeypatch.setenv("STORM_STORE", (tmp_path / store).as_uri())
    server.refuses = lambda ids: len(ids) > 350
    first = score(server, tiny_llama, prepared, tmp_path / "out" / "verdicts")
    assert first.metrics["educational_value_unanswered"] == 2
    # Nothing but what it refuses is left to find out with what it takes.
    still = score(server, tiny_llama, prepared, tmp_path / "out" / output)
    assert (still.metrics, still.reused) == (first.metrics, False)
    assert capsys.readouterr().err.count("no answer about 2 examples, which are unanswered in this output") == 2
    server.refuses = lambda ids: False
    server.requests.clear()
    again = score(server, tiny_llama, prepared, tmp_path / "out" / output)
    # Once to find out what the server takes, and each of the two both questions.
    assert sorted(numbers_asked(server, contexts)) == [7, 7, 7, 8, 8]
    assert (again.metrics["difficulty_asked"], "educational_value_unanswered" in again.metrics) == (9, False)
    assert "no answer" not in capsys.readouterr().err
    assert score(server, tiny_llama, prepared, tmp_path / "out" / output).reused
    assert server.requests == []


def test_what_was_asked_in_tokens_is_asked_again_in_text(server, tiny_llama, prepared, tmp_path):
    outputs = [tmp_path / "out" / prompts for prompts in ("tokens", "text")]
    for output in outputs:
        server.requests.clear()
        score(server, tiny_llama, prepared, output, endpoint_prompts=output.name)
        # The first question at least of all nine, and once to find out what the server takes.
        assert len(server.requests) >= 9 + 1
    verdicts = [open_directory(output) for output in outputs]
    with pytest.raises(InputError, match="made with prompts text and tokens; score all shards alike"):
        refuse_mixed(verdicts)


def test_a_second_question_that_a_server_refused_is_asked_again_alone(
    server, tiny_judge, tiny_llama, prepared, contexts, tmp_path
):
    difficulty = list(tiny_judge.difficulty.ids)
    server.refuses = lambda ids: len(ids) > 340 and ids[-len(difficulty) :] == difficulty
    first = score(server, tiny_llama, prepared, tmp_path / "out" / "verdicts")
    assert (first.metrics["difficulty_asked"], first.metrics["difficulty_unanswered"]) == (9, 2)
    server.refuses = lambda ids: False
    server.requests.clear()
    again = score(server, tiny_llama, prepared, tmp_path / "out" / "another")
    assert sorted(numbers_asked(server, contexts)) == [7, 7, 8]
    assert (again.metrics["difficulty_asked"], "difficulty_unanswered" in again.metrics) == (9, False)


@pytest.mark.parametrize(
    "content",
    [
        b'{"choices": [{"finish_reason": "stop", "logprobs": {"content": []}}]}',
        b'{"choices": [{"finish_reason": "length", "logprobs": {"content": [{"top_logprobs": []}]}}]}',
        b'{"choices": [{"finish_reason": "length", "logprobs": {"top_logprobs": []}}]}',
        b'{"choices": [{"finish_reason": "content_filter", "logprobs": null}]}',
    ],
)
def test_an_empty_answer_counts_as_refused_and_is_an_error_if_there_is_no_other(server, tiny_judge, contexts, content):
    server.faults = [None, says(200, content)]
    with engine_for(server, tiny_judge, endpoint_concurrency=1) as engine:
        answer, other = engine.read(contexts[:2]).ask(tiny_judge.educational_value)
    assert (answer.probabilities, answer.label_mass, answer.unseen_mass) == ((0.0,) * 5, 0.0, 1.0)
    assert not answer.is_answer and other.is_answer
    server.always = says(200, content)
    message = "refuses every request .* an answer that reports no token"
    with engine_for(server, tiny_judge) as engine, pytest.raises(InputError, match=message):
        engine.read(contexts[:2]).ask(tiny_judge.educational_value)
