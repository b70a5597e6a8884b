"""Judges behind the servers that people have: every habit of the table, at every kind of request."""

import json
import random
from contextlib import contextmanager

import pytest

from storm_core.artifacts import open_directory, seal
from storm_core.errors import InputError
from storm_core.execution import execute
from storm_core.judging.config import SCORE, ScoreConfig
from storm_core.judging.engines import endpoint as endpoint_module
from storm_core.judging.engines.interface import StoppedError
from storm_core.judging.engines.openai_engine import open_openai_engine
from storm_core.records import Message, make_example, write_examples
from storm_core.verdicts.settings import SETTINGS_NAME, refuse_mixed
from tests.judging.judge_stand_in import ENDS, PASSES, QUIRKS, REFUSES, THOUGHTS, logprobs, stand_in

KEY = "sk-very-secret-1234"
PROMPTS = ("tokens", "text")


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr(endpoint_module, "_SECONDS_BETWEEN_TRIES", 0.01)
    monkeypatch.setattr(endpoint_module, "_FIRST_PAUSE_SECONDS", 0.01)
    with stand_in() as server:
        yield server


@pytest.fixture
def draw(request):
    """A random source of each test's own, the same in each run."""
    return random.Random(request.node.name)  # noqa: S311 (made up, not secret)


@contextmanager
def engine_for(server, judge, **options):
    settings = {"engine": "openai", "endpoint": server.url, "endpoint_retries": 2, "endpoint_concurrency": 3}
    engine = open_openai_engine(ScoreConfig(**settings | options), judge.builder)
    yield engine
    engine.close()


def drawn_examples(draw, count=6, longest=40):
    """Examples of different lengths, each with a word that none of the others has."""
    words = [f"word{number}x" for number in draw.sample(range(1000, 9999), count)]
    texts = [f"{word} " + "fox and hound " * draw.randrange(1, longest) for word in words]
    return words, [
        make_example("chat", [Message(role="user", content="Go on"), Message(role="assistant", content=text)])
        for text in texts
    ]


def contexts_of(judge, examples, length=512):
    return [judge.builder.context(example.messages, length) for example in examples]


def text_of(judge, body):
    return body["messages"][0]["content"] if "messages" in body else judge.builder.tokenizer.decode(body["prompt"])


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


def prepared(tmp_path, examples):
    (tmp_path / "examples").mkdir()
    write_examples(tmp_path / "examples" / "shard-00000.parquet", examples)
    seal(tmp_path / "examples", "examples", producer={}, inputs={}, metrics={})
    return tmp_path / "examples"


def score(server, tiny_llama, examples, output, **options):
    settings = {"engine": "openai", "endpoint": server.url, "endpoint_retries": 1, "endpoint_concurrency": 2}
    return execute(
        SCORE,
        ScoreConfig(**settings | {"min_educational_value": 1.0, "keep_seconds": 0.0} | options),
        inputs={"model": [str(tiny_llama)], "examples": [str(examples)]},
        outputs={"verdicts": output},
        value_files={},
    )


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
    directory = prepared(tmp_path, examples)
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
    directory = prepared(tmp_path, examples)
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


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("same", [True, False])
def test_nothing_is_sent_on_to_another_address(server, tiny_judge, draw, status, same):
    _, examples = drawn_examples(draw, 2)
    with stand_in() as other:
        there = server if same else other
        place = f"{there.url.removesuffix('/v1')}/there/v1/completions?token=secret"
        server.headers = {"Location": place}
        server.instead = lambda body: None if server.requests[-1]["path"].startswith("/there") else (status, b"moved")
        with engine_for(server, tiny_judge) as engine:
            reading = engine.read(contexts_of(tiny_judge, examples))
            if same and status in (307, 308):
                assert all(answer.is_answer for answer in reading.ask(tiny_judge.educational_value))
                return
            with pytest.raises(InputError, match=f"answers {status} and sends on to {place.partition('/comp')[0]},"):
                reading.ask(tiny_judge.educational_value)
        assert other.requests == [] and len(server.requests) == 1


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


def test_a_key_that_is_missing_is_said(server, tiny_judge, draw, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    server.instead = lambda body: (401, b'{"error": {"message": "No API key was given"}}')
    _, examples = drawn_examples(draw, 2)
    message = "answers 401: No API key was given; OPENAI_API_KEY is not set"
    with engine_for(server, tiny_judge) as engine, pytest.raises(InputError, match=message):
        engine.read(contexts_of(tiny_judge, examples)).ask(tiny_judge.educational_value)


def test_shards_from_two_addresses_are_refused_with_what_differs(server, tiny_llama, draw, tmp_path):
    _, examples = drawn_examples(draw, 2)
    directory = prepared(tmp_path, examples)
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
    score(server, tiny_llama, prepared(tmp_path, examples), tmp_path / "out" / "new")
    new = open_directory(tmp_path / "out" / "new")
    settings = json.loads(new.file(SETTINGS_NAME).read_text())
    (tmp_path / "old").mkdir()
    old = {name: value for name, value in settings.items() if not name.startswith("endpoint")}
    (tmp_path / "old" / SETTINGS_NAME).write_text(json.dumps(old))
    seal(tmp_path / "old", "verdicts", producer={}, inputs={}, metrics={})
    refuse_mixed([new, open_directory(tmp_path / "old")], settings)


@pytest.fixture
def no_proxies(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.usefixtures("no_proxies")
@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "socks://127.0.0.1:9/", "http://127.0.0.1:9"])
def test_a_server_on_this_machine_is_asked_without_the_proxy(server, tiny_judge, draw, monkeypatch, proxy):
    monkeypatch.setenv("ALL_PROXY", proxy)
    _, examples = drawn_examples(draw, 2)
    with engine_for(server, tiny_judge) as engine:
        assert all(
            a.is_answer for a in engine.read(contexts_of(tiny_judge, examples)).ask(tiny_judge.educational_value)
        )


@pytest.mark.usefixtures("no_proxies")
def test_another_server_is_asked_through_the_proxy_which_an_error_names(server, tiny_judge, draw, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", server.url.removesuffix("/v1").replace("//", "//me:secret@"))
    _, examples = drawn_examples(draw, 2)
    contexts = contexts_of(tiny_judge, examples)
    with engine_for(server, tiny_judge, endpoint="http://judge.invalid/v1") as engine:
        assert all(answer.is_answer for answer in engine.read(contexts).ask(tiny_judge.educational_value))
    assert {body["path"] for body in server.requests} == {"http://judge.invalid/v1/completions"}
    monkeypatch.setenv("HTTP_PROXY", "http://me:secret@127.0.0.1:9")
    options = {"endpoint": "http://judge.invalid/v1", "endpoint_retries": 0}
    message = "cannot be reached through the proxy http://127.0.0.1:9 of HTTP_PROXY: "
    with engine_for(server, tiny_judge, **options) as engine, pytest.raises(InputError, match=message) as caught:
        engine.read(contexts).ask(tiny_judge.educational_value)
    assert "secret" not in str(caught.value)
