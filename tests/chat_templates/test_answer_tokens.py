"""Which tokens of a conversation are an answer's, whatever the tokenizer and however the template ends it."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storm_core.chat_templates.answer_tokens import AnswerTokens
from storm_core.chat_templates.chat_template import ChatTemplate
from storm_core.chat_templates.rendering import MisfitError
from storm_core.checkpoints.loading import load_tokenizer
from storm_core.records import Message
from tests.chat_templates.templates import conversations
from tests.checkpoints.families import FAMILIES, make_tokenizer

TOKENIZERS = {name: make_tokenizer(FAMILIES[name]) for name in ("Llama 3.1", "Qwen3", "Gemma 2", "Phi-3", "Mistral")}


def question(text: str) -> Message:
    return Message(role="user", content=text)


def answer(text: str) -> Message:
    return Message(role="assistant", content=text)


@settings(deadline=None, max_examples=60)
@given(name=st.sampled_from(sorted(TOKENIZERS)), messages=conversations())
def test_answer_begins_behind_the_tokens_of_all_that_comes_before_it(name: str, messages: list[Message]) -> None:
    tokenizer = TOKENIZERS[name]
    template = ChatTemplate(tokenizer)
    try:
        conversation = template.conversation(messages)
        ids, places = AnswerTokens(tokenizer, template).tokenize(conversation)
    except MisfitError:
        return
    for found, place in zip(conversation.answers, places, strict=True):
        before = tokenizer(conversation.text[: found.start], add_special_tokens=False)["input_ids"]
        assert ids[: place.start] == before or tokenizer.decode(ids[: place.start]) == tokenizer.decode(before)
    whole = tokenizer(conversation.text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == tokenizer.decode(whole)


class Counting:
    """A tokenizer that counts the characters that it reads."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.characters = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def __call__(self, text: str, **options: Any) -> Any:
        self.characters += len(text)
        return self._tokenizer(text, **options)


@pytest.mark.parametrize("name", sorted(TOKENIZERS))
def test_long_conversation_is_read_about_once(name: str) -> None:
    tokenizer: Any = Counting(TOKENIZERS[name])
    template = ChatTemplate(tokenizer)
    tokens = AnswerTokens(tokenizer, template)
    conversation = template.conversation(
        [turn for n in range(50) for turn in (question(f"{n}? "), answer("Yes. " * 9))]
    )
    assert tokens.ends
    tokenizer.characters = 0
    tokens.tokenize(conversation)
    assert tokenizer.characters < 3 * len(conversation.text)


# As GLM-4's: roles are tokens, and none ends a turn.
GLM = (
    "[gMASK]<sop>{% for m in messages %}<|{{ 'observation' if m['role'] == 'tool' else m['role'] }}|>\n"
    "{{ m['content'] }}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
# The end of a turn is written when another one follows.
BETWEEN = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}"
    "{% if not loop.last %}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_end|>\n<|im_start|>assistant\n{% endif %}"
)
CLOSE = "{{% if not add_generation_prompt %}}{{{{ '{}' }}}}{{% endif %}}"
NO_TOKEN_BETWEEN = GLM.replace("<|", "(").replace("|>", ")")
TURNS = [
    question("Rain?"),
    answer("rain()"),
    Message(role="tool", content="no"),
    answer("No."),
    question("?"),
    answer("!"),
]


@pytest.fixture
def tokenizer(tiny_tokenizer_directory: Path) -> Any:
    loaded = load_tokenizer(tiny_tokenizer_directory)
    roles = [f"<|{role}|>" for role in ("system", "user", "assistant", "observation")]
    loaded.add_special_tokens({"additional_special_tokens": ["[gMASK]", "<sop>", *roles]})
    return loaded


@pytest.mark.parametrize(
    ("source", "learned"),
    [
        (GLM, ["\nrain()<|observation|>", "\nNo.<|user|>", "\n!<|user|>"]),
        (GLM + CLOSE.format(r"\n"), ["\nrain()<|observation|>", "\nNo.<|user|>", "\n!\n<|user|>"]),
        (BETWEEN, ["rain()<|im_end|>", "No.<|im_end|>", "!<|im_end|>"]),
    ],
)
def test_answer_that_the_next_turn_ends_ends_with_its_first_token(
    source: str, learned: list[str], tokenizer: Any
) -> None:
    tokenizer.chat_template = source
    template = ChatTemplate(tokenizer)
    tokens = AnswerTokens(tokenizer, template)
    conversation = template.conversation(TURNS)
    ids, places = tokens.tokenize(conversation)
    assert [tokenizer.decode(ids[place.start : place.stop]) for place in places] == learned
    assert tokenizer.decode(ids).startswith(conversation.text)
    assert {text[text.rindex("<") :] for text in learned} == set(tokens.ends.values())
    # What is asked with begins what is learned, token by token.
    asked = tokenizer(template.prompt(TURNS[:-1]), add_special_tokens=False)["input_ids"]
    assert ids[: places[-1].start] == asked


@pytest.mark.parametrize("source", [NO_TOKEN_BETWEEN, GLM + CLOSE.format("(end)")])
def test_answer_that_no_token_ends_is_refused(source: str, tokenizer: Any) -> None:
    tokenizer.chat_template = source
    template = ChatTemplate(tokenizer)
    with pytest.raises(MisfitError, match=r"^the chat template ends an answer with no token of its own$"):
        AnswerTokens(tokenizer, template).tokenize(template.conversation(TURNS))
