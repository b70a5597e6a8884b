"""Judges behind the servers that people have: every habit of the table, at every kind of request."""

import json

import pytest

from storm_core.artifacts import open_directory, seal
from storm_core.errors import InputError
from storm_core.judging.engines.interface import StoppedError
from storm_core.verdicts.settings import SETTINGS_NAME, refuse_mixed
from tests.judging.judge_stand_in import (
    ENDS,
    KEY,
    PASSES,
    QUIRKS,
    REFUSES,
    THOUGHTS,
    contexts_of,
    drawn_examples,
    engine_for,
    logprobs,
    prepared_in,
    score,
    text_of,
)

PROMPTS = ("tokens", "text")


# Servers that say 403, as they may of a key too.
FORBIDDEN = ("OpenRouter: moderation", "OpenRouter: moderation in a 200", "a firewall: a page")


def drawn_words(draw):
    return "".join(draw.choice("abcdefghij ") for _ in range(20)).strip() + "!"


@pytest.mark.parametrize("prompts", PROMPTS)
@pytest.mark.parametrize("name", QUIRKS)
def test_what_a_server_says_of_one_example_is_passing_about_it_or_for_good(
    server, tiny_judge, draw, capsys, name, prompts
):
    quirk, said = QUIRKS[name], drawn_words(draw)
    words, examples = drawn_examples(draw)
    victim = draw.randrange(len(words))
    times = [1 if quirk.kind == PASSES else 1000]

    def instead(body):
        if words[victim] not in text_of(tiny_judge, body) or not times[0]:
            return None
        times[0] -= 1
        return quirk.reply(said)

    server.instead = instead
    with engine_for(server, tiny_judge, endpoint_prompts=prompts) as engine:
        reading = engine.read(contexts_of(tiny_judge, examples))
        if quirk.kind == ENDS:
            with pytest.raises(InputError) as caught:
                reading.ask(tiny_judge.educational_value)
            assert " ".join(said.split()) in str(caught.value) and KEY not in str(caught.value)
            return
        answered = [answer.is_answer for answer in reading.ask(tiny_judge.educational_value)]
    assert answered == [place != victim or quirk.kind == PASSES for place in range(len(words))]
    assert (" ".join(said.split()) in capsys.readouterr().err) == (quirk.kind == REFUSES)


@pytest.mark.parametrize("prompts", PROMPTS)
@pytest.mark.parametrize("name", QUIRKS)
def test_what_a_server_says_of_everything_ends_the_run_in_its_words(server, tiny_judge, draw, name, prompts):
    quirk, said = QUIRKS[name], drawn_words(draw)
    server.instead = lambda body: quirk.reply(f"{KEY} {said}")
    _, examples = drawn_examples(draw, 2)
    with engine_for(server, tiny_judge, endpoint_prompts=prompts) as engine, pytest.raises(InputError) as caught:
        engine.read(contexts_of(tiny_judge, examples)).ask(tiny_judge.educational_value)
    message = str(caught.value)
    assert f"*** {' '.join(said.split())}" in message and KEY not in message and "\n" not in message
    assert "must support logprobs" not in message and "base URL of an OpenAI" not in message
    if quirk.kind == REFUSES:
        assert ("does OPENAI_API_KEY hold a key" in message) == (name in FORBIDDEN)
    # The first request, and its repetitions; of what is refused, every form about two examples and an empty one.
    assert len(server.requests) == {PASSES: 3, REFUSES: 3 * 3, ENDS: 1}[quirk.kind]


@pytest.mark.parametrize("prompts", PROMPTS)
@pytest.mark.parametrize("name", THOUGHTS)
def test_a_judge_that_thinks_first_is_an_error_and_one_thought_no_answer(
    server, tiny_judge, draw, capsys, name, prompts
):
    words, examples = drawn_examples(draw)
    victim = draw.randrange(len(words))
    server.choice = lambda body: THOUGHTS[name](body) if words[victim] in text_of(tiny_judge, body) else None
    with engine_for(server, tiny_judge, endpoint_prompts=prompts) as engine:
        answers = engine.read(contexts_of(tiny_judge, examples)).ask(tiny_judge.educational_value)
    assert [answer.is_answer for answer in answers] == [place != victim for place in range(len(words))]
    assert "gives none of the labels of educational_value for 1 of 6 examples" in capsys.readouterr().err
    server.choice = THOUGHTS[name]
    message = "thinks before it answers: it begins with '.*(think|channel|THINK)"
    with engine_for(server, tiny_judge, endpoint_prompts=prompts) as engine, pytest.raises(InputError, match=message):
        engine.read(contexts_of(tiny_judge, examples)).ask(tiny_judge.educational_value)


def ours(judge):
    """Counts as the judge's tokenizer does."""
    control = len(judge.builder.context([], 512).ids[: judge.builder.context([], 512).control])
    return lambda body: len(judge.builder.plain_ids(text_of(judge, body))) + control + 5


def others(judge):
    """Counts as a tokenizer with longer tokens does."""
    return lambda body: len(text_of(judge, body)) // 4


@pytest.mark.parametrize("window", [200, 300, 450])
@pytest.mark.parametrize("counting", [ours, others])
def test_a_text_that_the_server_cut_has_no_answer(server, tiny_judge, draw, counting, window):
    _, examples = drawn_examples(draw, 12, 120)
    count = counting(tiny_judge)
    server.count = count
    contexts = contexts_of(tiny_judge, examples, 2000)
    question = tiny_judge.educational_value
    with engine_for(server, tiny_judge, endpoint_prompts="text") as engine:
        assert all(answer.is_answer for answer in engine.read(contexts).ask(question))
    whole = [
        count({"messages": [{"content": tiny_judge.builder.harmless_text(context, question)}]}) for context in contexts
    ]
    empty = count(
        {"messages": [{"content": tiny_judge.builder.harmless_text(tiny_judge.builder.context([], 9), question)}]}
    )
    server.count = lambda body: min(window, count(body))
    with engine_for(server, tiny_judge, endpoint_prompts="text") as engine:
        answers = engine.read(contexts).ask(question)
    for answer, read in zip(answers, whole, strict=True):
        if read <= window:
            assert answer.is_answer
        elif window - empty < 0.3 * (read - empty) - 16:
            assert not answer.is_answer, f"it read {window} of {read}"


@pytest.mark.parametrize("failing", ["educational_value", "difficulty"])
def test_what_was_answered_before_a_server_failed_for_good_is_kept(
    server, tiny_judge, tiny_llama, draw, tmp_path, failing
):
    words, examples = drawn_examples(draw, 8)
    victim = draw.randrange(len(words))
    asked = getattr(tiny_judge, failing).rubric.question
    quirk = QUIRKS["Ollama: a plain error"]

    def instead(body):
        text = text_of(tiny_judge, body)
        return quirk.reply("out of memory") if words[victim] in text and asked in text else None

    server.instead = instead
    directory = prepared_in(tmp_path, examples)
    with pytest.raises(StoppedError, match="still answers 500: out of memory"):
        score(server, tiny_llama, directory, tmp_path / "out" / "verdicts")
    kept = {text_of(tiny_judge, body) for body in server.requests if not instead(body)}
    server.instead = lambda body: None
    server.requests.clear()
    outcome = score(server, tiny_llama, directory, tmp_path / "out" / "verdicts")
    assert (outcome.metrics["educational_value_asked"], outcome.metrics["difficulty_asked"]) == (8, 8)
    again = [text_of(tiny_judge, body) for body in server.requests]
    # But for the one with which the forms are tried.
    assert len([text for text in again if text in kept]) <= 1


@pytest.mark.parametrize("silence", ["thought", "no label"])
def test_no_answer_at_all_is_asked_again(server, tiny_judge, tiny_llama, draw, tmp_path, capsys, silence):
    words, examples = drawn_examples(draw, 5)
    victim = draw.randrange(len(words))
    silent = THOUGHTS["Qwen3, R1"] if silence == "thought" else no_label
    server.choice = lambda body: silent(body) if words[victim] in text_of(tiny_judge, body) else None
    directory = prepared_in(tmp_path, examples)
    first = score(server, tiny_llama, directory, tmp_path / "out" / "verdicts")
    assert first.metrics["educational_value_unanswered"] == 1
    said = capsys.readouterr().err
    assert "no answer about 1 examples" in said and ("<think>" if silence == "thought" else "Sure") in said
    server.choice = lambda body: None
    server.requests.clear()
    again = score(server, tiny_llama, directory, tmp_path / "out" / "verdicts")
    assert not again.reused and "educational_value_unanswered" not in again.metrics
    assert all(words[victim] in text_of(tiny_judge, body) for body in server.requests)


def no_label(body):
    return logprobs({"Sure": 0.6, "Well": 0.2}, body)


def test_a_wait_that_is_too_long_ends_the_run_and_says_so(server, tiny_judge, draw):
    server.headers = {"Retry-After": "86400"}
    server.instead = lambda body: (429, json.dumps({"error": {"message": "daily limit"}}).encode())
    _, examples = drawn_examples(draw, 2)
    with (
        engine_for(server, tiny_judge) as engine,
        pytest.raises(InputError, match="daily limit; it asks to wait 86400"),
    ):
        engine.read(contexts_of(tiny_judge, examples)).ask(tiny_judge.educational_value)
    assert len(server.requests) == 1


def test_shards_from_two_addresses_are_refused_with_what_differs(server, tiny_llama, draw, tmp_path):
    _, examples = drawn_examples(draw, 2)
    directory = prepared_in(tmp_path, examples)
    spellings = [server.url, f"{server.url}/", server.url.replace("127.0.0.1", "localhost")]
    for place, url in enumerate(spellings):
        score(server, tiny_llama, directory, tmp_path / "out" / str(place), endpoint=url)
    same, slash, other = (open_directory(tmp_path / "out" / str(place)) for place in range(3))
    refuse_mixed([same, slash])
    with pytest.raises(
        InputError, match=r"endpoint http://127.*/v1 and http://localhost.*/v1; .*replicas of one judge"
    ):
        refuse_mixed([same, other])


def test_verdicts_that_do_not_say_where_the_judge_was_are_comparable(server, tiny_llama, draw, tmp_path):
    _, examples = drawn_examples(draw, 2)
    score(server, tiny_llama, prepared_in(tmp_path, examples), tmp_path / "out" / "new")
    new = open_directory(tmp_path / "out" / "new")
    settings = json.loads(new.file(SETTINGS_NAME).read_text())
    (tmp_path / "old").mkdir()
    old = {name: value for name, value in settings.items() if not name.startswith("endpoint")}
    (tmp_path / "old" / SETTINGS_NAME).write_text(json.dumps(old))
    seal(tmp_path / "old", "verdicts", producer={}, inputs={}, metrics={})
    refuse_mixed([new, open_directory(tmp_path / "old")], settings)
