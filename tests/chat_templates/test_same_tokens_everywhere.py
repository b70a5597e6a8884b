"""Judge, training, function calling and lm-eval give a model the same token ids: one BOS, or none."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lm_eval.api.instance import Instance

from storm_core.chat_templates.chat_template import ChatTemplate
from storm_core.checkpoints.loading import load_model
from storm_core.errors import InputError
from storm_core.evaluation.evaluation_cache import ReplyCache
from storm_core.evaluation.function_calling import chat_prompts
from storm_core.evaluation.generation import greedy_replies
from storm_core.evaluation.resumable_model import ResumableLM
from storm_core.evaluation.suite import FunctionCalling
from storm_core.finetuning.tokenization import IGNORED, tokenize
from storm_core.judging.wording.prompts import PromptBuilder
from storm_core.judging.wording.rubrics import load_framing, load_rubric
from storm_core.records import Message, make_example
from storm_core.stores.partial_results import DirectoryPartialResults
from storm_core.toolcalls.bfcl import BfclEntry, prompt_messages
from tests.chat_templates.templates import Quirks, tokenizer_with

TURNS = (Message(role="system", content="Be brief."), Message(role="user", content="How easy?"))
TOOL = {"name": "fox", "description": "", "parameters": {"type": "dict", "properties": {}, "required": []}}
ENTRY = BfclEntry(id="simple_0", category="simple_python", messages=TURNS[1:], tools=(TOOL,), possible_answers=())
BENCHMARK = FunctionCalling(
    name="calls", title="", path="", categories=(), guidelines=True, batch_size=1, max_new_tokens=2
)
QUIRKS = [
    Quirks(bos=bos, system=system, trims=trims)
    for bos in (True, False)
    for system, trims in (("turn", False), ("refused", True), ("dropped", True))
]


@pytest.fixture(params=QUIRKS, ids=str)
def tokenizer(request: pytest.FixtureRequest, tiny_tokenizer_directory: Path) -> Any:
    return tokenizer_with(tiny_tokenizer_directory, request.param.template())


@pytest.fixture
def kept(tmp_path: Path) -> ReplyCache:
    return ReplyCache(DirectoryPartialResults(tmp_path), "calls")


@pytest.fixture
def model(tiny_llama: Path) -> Any:
    return load_model(tiny_llama, torch.float32)


def seen_by(model: Any, monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The token ids that the model is asked to go on from, one row of each call."""
    seen: list[list[int]] = []
    generate = model.generate

    def note(**given: Any) -> Any:
        seen.append(given["input_ids"][0].tolist())
        return generate(**given)

    monkeypatch.setattr(model, "generate", note)
    return seen


def trained(messages: tuple[Message, ...], tokenizer: Any) -> list[int]:
    """What training puts before the answer to `messages`."""
    example = tokenize(make_example("x", [*messages, Message(role="assistant", content="Yes.")]), tokenizer)
    return list(example.input_ids)[: next(place for place, label in enumerate(example.labels) if label != IGNORED)]


def test_function_calling_asks_as_training_does(
    model: Any, tokenizer: Any, kept: ReplyCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = seen_by(model, monkeypatch)
    prompts = chat_prompts(BENCHMARK, [ENTRY], ChatTemplate(tokenizer))
    greedy_replies(model, tokenizer, prompts, batch_size=1, max_new_tokens=2, description="", kept=kept)
    assert seen == [trained(prompt_messages(ENTRY, guidelines=True), tokenizer)]


def test_lm_eval_asks_as_training_does(
    model: Any, tokenizer: Any, kept: ReplyCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = seen_by(model, monkeypatch)
    asked = ResumableLM(kept, ChatTemplate(tokenizer), pretrained=model, tokenizer=tokenizer, batch_size=1)
    prompt = asked.apply_chat_template([{"role": turn.role, "content": turn.content} for turn in TURNS])
    request = Instance("generate_until", {}, (prompt, {"until": [], "max_gen_toks": 2}), 0)
    asked.generate_until([request], disable_tqdm=True)
    assert seen == [trained(TURNS, tokenizer)]
    whole, start = asked.tok_encode(prompt + "fox"), trained(TURNS, tokenizer)
    assert whole[: len(start)] == start


def test_judge_reads_as_training_does(tokenizer: Any) -> None:
    builder = PromptBuilder(tokenizer, load_framing())
    question = builder.question(load_rubric("difficulty"))
    ids = [*builder.context([Message(role="user", content="Hi")], 100).ids, *question.ids]
    framing = load_framing()
    text = f"{framing.head}User: Hi\n{framing.tail}{question.rubric.question}"
    assert ids == trained((Message(role="user", content=text),), tokenizer)


def test_answer_that_is_to_be_continued_is_not_ended(model: Any, tokenizer: Any, kept: ReplyCache) -> None:
    asked = ResumableLM(kept, ChatTemplate(tokenizer), pretrained=model, tokenizer=tokenizer, batch_size=1)
    turns = [{"role": turn.role, "content": turn.content} for turn in TURNS]
    prompt = asked.apply_chat_template(turns)
    begun = asked.apply_chat_template([*turns, {"role": "assistant", "content": "It is"}], add_generation_prompt=False)
    assert begun == f"{prompt}It is"


def test_question_that_a_template_loses_is_not_asked(model: Any, tokenizer: Any, kept: ReplyCache) -> None:
    tokenizer.chat_template = "{{ messages[0]['content'][:4] }}"
    asked = ResumableLM(kept, ChatTemplate(tokenizer), pretrained=model, tokenizer=tokenizer, batch_size=1)
    with pytest.raises(InputError, match="leaves out the text of turn 0"):
        asked.apply_chat_template([{"role": "user", "content": "How easy?"}])
    with pytest.raises(InputError, match="calls: simple_0 cannot be asked"):
        chat_prompts(BENCHMARK, [ENTRY], ChatTemplate(tokenizer))
