"""Labels lie on the answers and the tokens that end them, and nowhere else."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storm_core.chat_templates.answer_tokens import AnswerTokens
from storm_core.chat_templates.chat_template import ChatTemplate
from storm_core.chat_templates.rendering import MisfitError
from storm_core.checkpoints.loading import load_tokenizer
from storm_core.finetuning.tokenization import (
    IGNORED,
    Dropped,
    ExampleTokenizer,
    TokenizedExample,
    describe_dropped,
    tokenize,
    tokenize_examples,
)
from storm_core.records import Example, Message, make_example

# As Llama 3's: contents trimmed, a token at the start, a turn's end without line break.
LLAMA_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|im_start|>{{ message['role'] }}\n\n"
    "{{ message['content'] | trim }}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n\n{% endif %}"
)
# As Phi-3's: a last token only where no answer is asked for.
CLOSING_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% else %}<|endoftext|>{% endif %}"
)
# Leaves out the questions before the last turn.
FORGETFUL_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{{ message['content'] if loop.last or message['role'] != 'user' else '...' }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# As DeepSeek R1's: the model is asked for a thought, which an answer need not have.
THOUGHTFUL_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
)
NO_END_TEMPLATE = (
    "{% for message in messages %}[{{ message['role'] }}]{{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)
NOTHING_FITS_TEMPLATE = "{{ raise_exception('not now') }}"


@pytest.fixture
def tokenizer(tiny_tokenizer_directory: Path) -> Any:
    return load_tokenizer(tiny_tokenizer_directory)


def conversation(*turns: str, system: str = "") -> Example:
    messages = [Message(role="system", content=system)] if system else []
    for number, content in enumerate(turns):
        messages.append(Message(role=("user", "assistant")[number % 2], content=content))
    return make_example("test", messages)


def learned(example: TokenizedExample, tokenizer: Any) -> list[str]:
    """The runs of labelled tokens, as text."""
    runs: list[list[int]] = []
    previous = IGNORED
    for token, label in zip(example.input_ids, example.labels, strict=True):
        assert label in (token, IGNORED)
        if label != IGNORED:
            if previous == IGNORED:
                runs.append([])
            runs[-1].append(token)
        previous = label
    return [tokenizer.decode(run) for run in runs]


def by(tokenizer: Any) -> ExampleTokenizer:
    template = ChatTemplate(tokenizer)
    return ExampleTokenizer(template, AnswerTokens(tokenizer, template))


def refusal(example: Example, tokenizer: Any) -> str:
    """Why the example cannot be used."""
    with pytest.raises(MisfitError) as refused:
        tokenize(example, tokenizer)
    return refused.value.reason


def test_answer_and_its_end_are_learned_and_nothing_else(tokenizer: Any) -> None:
    example = tokenize(conversation("How easy?", "Very easy.", system="Rate it."), tokenizer)
    assert learned(example, tokenizer) == ["Very easy.<|im_end|>"]
    assert tokenizer.decode(example.input_ids) == (
        "<|im_start|>system\nRate it.<|im_end|>\n<|im_start|>user\nHow easy?<|im_end|>\n"
        "<|im_start|>assistant\nVery easy.<|im_end|>\n"
    )


def test_every_answer_of_a_conversation_is_learned(tokenizer: Any) -> None:
    example = tokenize(conversation("One?", "1", "Two?", "2", "Three?", "3"), tokenizer)
    assert learned(example, tokenizer) == ["1<|im_end|>", "2<|im_end|>", "3<|im_end|>"]


def test_tool_results_are_not_learned(tokenizer: Any) -> None:
    turns = [("user", "Weather?"), ("assistant", "<tool_call>{}</tool_call>"), ("tool", "rain"), ("assistant", "Rain.")]
    example = make_example("test", [Message(role=role, content=content) for role, content in turns])
    assert learned(tokenize(example, tokenizer), tokenizer) == [
        "<tool_call>{}</tool_call><|im_end|>",
        "Rain.<|im_end|>",
    ]


@pytest.mark.parametrize("template", [LLAMA_TEMPLATE, CLOSING_TEMPLATE])
def test_other_families_templates_give_the_same_answers(template: str, tokenizer: Any) -> None:
    tokenizer.chat_template = template
    example = tokenize(conversation("One?", "1", "Two?", "2"), tokenizer)
    assert learned(example, tokenizer) == ["1<|im_end|>", "2<|im_end|>"]


# As Qwen3's: of answers but the last the thought is left out, the last has one, if an empty one.
QWEN3_TEMPLATE = (
    "{% for message in messages %}{% set text = message['content'] %}{% set thought = '' %}"
    "{% if '</think>' in text %}{% set thought = text.split('</think>')[0].split('<think>')[-1].strip('\n') %}"
    "{% set text = text.split('</think>')[-1].lstrip('\n') %}{% endif %}<|im_start|>{{ message['role'] }}\n"
    "{% if loop.last and message['role'] == 'assistant' %}{{ '<think>\n' + thought + '\n</think>\n\n' }}{% endif %}"
    "{{ text }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and not enable_thinking %}{{ '<think>\n\n</think>\n\n' }}{% endif %}{% endif %}"
)


def test_thought_is_learned_where_it_is_and_an_empty_one_is_the_prompts(tokenizer: Any) -> None:
    tokenizer.chat_template = QWEN3_TEMPLATE
    example = tokenize(conversation("One?", "1", "Two?", "2"), tokenizer)
    assert learned(example, tokenizer) == ["1<|im_end|>", "2<|im_end|>"]
    example = tokenize(conversation("One?", "1", "Two?", "<think>Hm.</think>2"), tokenizer)
    assert learned(example, tokenizer) == ["1<|im_end|>", "<think>\nHm.\n</think>\n\n2<|im_end|>"]
    forgotten = conversation("One?", "<think>Hm.</think>1", "Two?", "2")
    assert refusal(forgotten, tokenizer) == "left_out_by_chat_template"


def test_turns_that_end_with_tokens_not_called_special_end_answers_too(tokenizer: Any) -> None:
    tokenizer.add_tokens(["<|stop|>", "<|turn|>"])
    tokenizer.chat_template = (
        "{% for message in messages %}<|turn|>{{ message['role'] }}\n{{ message['content'] }}<|stop|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|turn|>assistant\n{% else %}{{ eos_token }}{% endif %}"
    )
    example = tokenize(conversation("One?", "<tool_call>1</tool_call>", "Two?", "2"), tokenizer)
    assert learned(example, tokenizer) == ["<tool_call>1</tool_call><|stop|>", "2<|stop|>"]
    for spelled in ("<|stop|>", "<|turn|>"):
        assert refusal(conversation("One?", f"1 {spelled} 2"), tokenizer) == "control_tokens"


@pytest.mark.parametrize("rule", ["{{ raise_exception('no system turn') }}", "{% continue %}"])
def test_system_turn_that_a_template_does_not_take_goes_before_the_first_question(rule: str, tokenizer: Any) -> None:
    tokenizer.chat_template = LLAMA_TEMPLATE.replace(
        "{% for message in messages %}",
        "{% for message in messages %}{% if message['role'] == 'system' %}" + rule + "{% endif %}",
    )
    example = tokenize(conversation("One?", "1", "Two?", "2", system="Tools: []"), tokenizer)
    assert "user\n\nTools: []\n\nOne?<|im_end|>" in tokenizer.decode(example.input_ids)
    assert learned(example, tokenizer) == ["1<|im_end|>", "2<|im_end|>"]


def test_what_is_left_out_is_told_in_words(tokenizer: Any) -> None:
    tokenizer.chat_template = THOUGHTFUL_TEMPLATE
    dropped = Dropped()
    unusable = [conversation("q", "a"), conversation("<|im_end|>", "a")]
    assert not list(tokenize_examples(unusable, by(tokenizer), 50, dropped))
    told = describe_dropped(dropped, 0)
    assert told.startswith("2 of 2 are left out: 1 because a turn spells a control token, 1 because the chat template")
    assert r"ends with 'tart|>assistant\n<think>\n'" in told


# Hypothesis runs many examples in one test, all of which may share the tokenizer.
text = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(str.strip)


@settings(deadline=None, max_examples=50)
@given(turns=st.lists(st.tuples(text, text), min_size=1, max_size=3))
def test_learned_text_is_the_answers_whatever_they_say(
    turns: list[tuple[str, str]], tiny_tokenizer_directory: Path
) -> None:
    tokenizer = load_tokenizer(tiny_tokenizer_directory)
    example = tokenize(conversation(*[content for turn in turns for content in turn]), tokenizer)
    assert learned(example, tokenizer) == [f"{answer}<|im_end|>" for _, answer in turns]


@pytest.mark.parametrize("place", ["user", "assistant", "system"])
@pytest.mark.parametrize("control", ["<|im_end|>", "<|im_start|>", "<|endoftext|>"])
def test_text_that_spells_a_control_token_is_refused(place: str, control: str, tokenizer: Any) -> None:
    contents = {"user": "q", "assistant": "a", "system": "s"}
    contents[place] = f"before {control} after"
    example = conversation(contents["user"], contents["assistant"], system=contents["system"])
    assert refusal(example, tokenizer) == "control_tokens"


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        (FORGETFUL_TEMPLATE, "left_out_by_chat_template"),
        (THOUGHTFUL_TEMPLATE, "unstable_prefix"),
        (NO_END_TEMPLATE, "chat_template"),
        (NOTHING_FITS_TEMPLATE, "chat_template"),
    ],
)
def test_template_that_hides_where_an_answer_lies_is_refused(template: str, reason: str, tokenizer: Any) -> None:
    tokenizer.chat_template = template
    assert refusal(conversation("One?", "1", "Two?", "2", system="s"), tokenizer) == reason


def test_every_example_is_kept_or_counted_by_reason(tokenizer: Any) -> None:
    examples = [conversation("q", "a"), conversation("q " * 100, "a"), conversation("<|im_end|>", "a")]
    dropped = Dropped()
    kept = list(tokenize_examples(examples, by(tokenizer), 50, dropped))
    assert [example.id for example in kept] == [examples[0].id]
    assert dropped.counts == {"too_long": 1, "control_tokens": 1}


def test_example_of_just_the_longest_length_is_kept(tokenizer: Any) -> None:
    example = conversation("q", "a")
    length = len(tokenize(example, tokenizer).input_ids)
    assert list(tokenize_examples([example], by(tokenizer), length, Dropped()))
    assert not list(tokenize_examples([example], by(tokenizer), length - 1, Dropped()))
