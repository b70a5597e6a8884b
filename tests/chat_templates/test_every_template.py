"""Whatever a chat template does: every turn's text is in what the model is given, or it is said why not."""

import json
import resource
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from storm_core.chat_templates import rendering
from storm_core.chat_templates.answer_tokens import AnswerTokens
from storm_core.chat_templates.chat_template import ChatTemplate
from storm_core.chat_templates.rendering import MisfitError
from storm_core.errors import InputError
from storm_core.records import Message
from tests.chat_templates.templates import EOS, QUIRKS, Quirks, conversations, must_fit, tokenizer_with

many = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])


def says_everything(text: str, messages: list[Message]) -> bool:
    return all(says(text, message) for message in messages)


def says(text: str, message: Message) -> bool:
    """Whether what was said is there as it is, or, of what is given to the model, as JSON spells it."""
    content = message.content.strip()
    return content in text or (message.role != "assistant" and json.dumps(content, ensure_ascii=False)[1:-1] in text)


@many
@given(quirks=QUIRKS, messages=conversations())
def test_every_turn_is_in_what_the_model_is_given(
    quirks: Quirks, messages: list[Message], tiny_tokenizer_directory: Path
) -> None:
    template = ChatTemplate(tokenizer_with(tiny_tokenizer_directory, quirks.template()))
    for make, turns in ((template.prompt, messages[:-1]), (lambda turns: template.conversation(turns).text, messages)):
        try:
            text = make(turns)
        except MisfitError as error:
            event(f"refused: {error.reason}")
            assert not must_fit(quirks, turns), error
            continue
        assert says_everything(text, turns)


@many
@given(quirks=QUIRKS, messages=conversations())
def test_what_is_learned_is_the_answers_and_what_ends_them(
    quirks: Quirks, messages: list[Message], tiny_tokenizer_directory: Path
) -> None:
    tokenizer: Any = tokenizer_with(tiny_tokenizer_directory, quirks.template())
    template = ChatTemplate(tokenizer)
    tokens = AnswerTokens(tokenizer, template)
    try:
        ids, answers = tokens.tokenize(template.conversation(messages))
    except MisfitError as error:
        assert not must_fit(quirks, messages), error
        return
    taught = [tokenizer.decode(ids[answer.start : answer.stop]) for answer in answers]
    said = [message.content for message in messages if message.role == "assistant"]
    assert len(taught) == len(said)
    for text, content in zip(taught, said, strict=True):
        expected = (content.strip() if quirks.trims else content) + quirks.ending
        # Beside answers with a thought, one without has an empty one, which is the model's to write.
        empty = "<think>\n\n</think>\n\n" if quirks.thoughts == "asked" else ""
        answer = text.removeprefix(empty)
        # Where an answer is asked for without its header, the header is the model's to write.
        assert answer == expected if quirks.asks else answer.endswith(expected)
    assert set(tokens.ends.values()) == {quirks.ending.removeprefix(EOS) or EOS}


@many
@given(quirks=QUIRKS, messages=conversations())
def test_prompt_and_training_agree_token_by_token_with_one_bos(
    quirks: Quirks, messages: list[Message], tiny_tokenizer_directory: Path
) -> None:
    tokenizer: Any = tokenizer_with(tiny_tokenizer_directory, quirks.template())
    template = ChatTemplate(tokenizer)
    try:
        ids, answers = AnswerTokens(tokenizer, template).tokenize(template.conversation(messages))
        prompt = template.prompt(messages[:-1])
    except MisfitError as error:
        assert not must_fit(quirks, messages), error
        return
    asked = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    if quirks.thoughts != "asked" and quirks.system != "last_user":
        assert ids[: answers[-1].start] == asked
    assert (ids[0] == tokenizer.bos_token_id) == quirks.bos
    assert ids[1] != tokenizer.bos_token_id


@pytest.mark.parametrize("day", ["2024-07-26", "2031-02-03"])
def test_date_is_the_one_given(day: str, tiny_tokenizer_directory: Path) -> None:
    template = ChatTemplate(tokenizer_with(tiny_tokenizer_directory, Quirks(date=True).template()), day)
    shown = {"2024-07-26": "26 Jul 2024", "2031-02-03": "03 Feb 2031"}[day]
    assert f"Today is {shown}. " in template.prompt([Message(role="user", content="Hi")])
    assert template.tells_date


# What goes wrong in a template is said in words of its own, whatever it is.
BROKEN = st.sampled_from(
    [
        "{% if %}",
        "{{ messages[9].content }}",
        "{{ messages[0].content.nothing.at_all }}",
        "{{ 1 / 0 }}",
        "{{ 'a' * 10**30 }}",
        "{{ messages | sum }}",
        "{{ {}.pop('x') }}",
        "{{ messages[0]['content'] | int('x', 99) }}",
        "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ raise_exception('no') }}",
        "{% break %}",
        "{{ strftime_now(1) }}",
        "{% for m in messages %}{{ m.content | upper }}{% endfor %}",
        "{% for m in messages[1:] %}{{ m.content }}{% endfor %}",
        "{% for m in messages %}{{ m.content[1:] }}{% endfor %}",
        "{% for m in messages %}{{ m.role }}{% endfor %}",
        "{{ messages[0].content }}",
        "",
    ]
)


@settings(deadline=None)
@given(source=BROKEN)
def test_template_that_is_broken_or_loses_text_is_refused_in_words(source: str, tiny_tokenizer_directory: Path) -> None:
    template = ChatTemplate(tokenizer_with(tiny_tokenizer_directory, source))
    turns = [
        Message(role="user", content="abc def"),
        Message(role="assistant", content="yes"),
        Message(role="user", content="role"),
    ]
    with pytest.raises(MisfitError) as refusal:
        template.prompt(turns)
    assert "\n" not in str(refusal.value) and str(refusal.value)


def test_template_that_does_not_end_is_refused(tiny_tokenizer_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "SECONDS", 0.2)
    source = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    template = ChatTemplate(tokenizer_with(tiny_tokenizer_directory, source))
    with pytest.raises(InputError, match=r"does not end: it computes for more than 0\.2 seconds"):
        template.prompt([Message(role="user", content="Hi")])


@pytest.mark.parametrize(
    "source",
    [
        "{% set ns = namespace(t='x') %}{% for a in range(60) %}{% set ns.t = ns.t + ns.t %}{% endfor %}",
        "{% set t = messages[0]['content'] * 10**10 %}",
        "{{ 'Hi' | center(10**10) }}",
        "{{ '%10000000000d' % 1 }}",
    ],
)
def test_template_that_fills_the_memory_is_refused(source: str, tiny_tokenizer_directory: Path) -> None:
    template = ChatTemplate(tokenizer_with(tiny_tokenizer_directory, source))
    before = resource.getrlimit(resource.RLIMIT_AS)
    with pytest.raises(InputError, match="takes more than 1 GiB of memory for one conversation; give the"):
        template.prompt([Message(role="user", content="Hi")])
    assert resource.getrlimit(resource.RLIMIT_AS) == before


def test_tools_answer_in_json_is_a_tool_turn(tiny_tokenizer_directory: Path) -> None:
    template = ChatTemplate(tokenizer_with(tiny_tokenizer_directory, Quirks(tool="json").template()))
    call = [Message(role="user", content="Rain?"), Message(role="assistant", content="rain()")]
    text = template.prompt([*call, Message(role="tool", content='{"rain": "none"}')])
    assert '<|im_start|>tool\n"{\\"rain\\": \\"none\\"}"<|im_end|>' in text
    assert "tool_response" not in text


@settings(deadline=None, max_examples=100)
@given(data=st.data(), quirks=QUIRKS, messages=conversations())
def test_mutated_template_is_refused_or_says_everything(
    data: st.DataObject, quirks: Quirks, messages: list[Message], tiny_tokenizer_directory: Path
) -> None:
    source = quirks.template()
    start = data.draw(st.integers(0, len(source) - 1))
    cut = data.draw(st.integers(1, 40))
    source = source[:start] + data.draw(st.sampled_from(["", "x", "{{ '' }}", "%}"])) + source[start + cut :]
    template = ChatTemplate(tokenizer_with(tiny_tokenizer_directory, source))
    try:
        text = template.conversation(messages).text
    except MisfitError:
        return
    assert says_everything(text, messages)
