"""Chat templates with the quirks of real ones, in any combination, and conversations to render by them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from tokenizers import AddedToken, processors
from transformers import PreTrainedTokenizerBase

from storm_core.checkpoints.loading import load_tokenizer
from storm_core.records import Message

START, END, EOS = "<|im_start|>", "<|im_end|>", "<|endoftext|>"
# Added to the tokenizer, and not called special, as fine-tunes often have them.
PLAIN_START, PLAIN_END = "<|turn|>", "<|stop|>"


@dataclass(frozen=True, kw_only=True)
class Quirks:
    """What a template does. The values of `system` and `tool` are what becomes of such turns.

    Attributes:
        alternates: user and assistant must take turns.
        trims: the white space around texts is cut off.
        special: turns start and end with special tokens.
        end: what follows an answer: `token`, `line` (token and line break), `twice` (two tokens) or `eos` of its own.
        closes: a last token where no answer is asked for.
        thoughts: `kept`, `stripped` from earlier answers, or `asked` for unless told not to, as Qwen3's.
        date: today's is written first.
        bos: the tokenizer's first token is written first.
        asks: the answer's header is written where an answer is asked for.
        always: an answer is asked for whether wanted or not.
    """

    system: str = "turn"
    tool: str = "turn"
    alternates: bool = False
    trims: bool = False
    special: bool = True
    end: str = "line"
    closes: bool = False
    thoughts: str = "kept"
    date: bool = False
    bos: bool = False
    asks: bool = True
    always: bool = False

    @property
    def ending(self) -> str:
        """What is to be learned behind an answer."""
        end = END if self.special else PLAIN_END
        return {"token": end, "line": end, "twice": EOS + end, "eos": EOS}[self.end]

    def template(self) -> str:
        """The template."""
        start = START if self.special else PLAIN_START
        end = END if self.special else PLAIN_END
        after = {"token": end, "line": f"{end}\n", "twice": EOS + end, "eos": EOS}[self.end]
        text = "m['content'] | trim" if self.trims else "m['content']"
        parts = [
            "{{ bos_token }}" if self.bos else "",
            "{{ 'Today is ' + strftime_now('%d %b %Y') + '. ' }}" if self.date else "",
            "{% set ns = namespace(head='', last=-1, before='') %}",
            "{% for m in messages %}{% if m['role'] == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}",
            "{% for m in messages %}",
            self._rules(),
            f"{{% set text = {text} %}}",
            "{% if m['role'] == 'system' %}" + self._system(start, end),
            "{% elif m['role'] == 'tool' %}" + self._tool(start, end),
            f"{{% elif m['role'] == 'user' %}}{self._user_head()}{start}user\n{{{{ ns.head + text }}}}{end}\n",
            "{% set ns.head = '' %}",
            f"{{% else %}}{self._thoughts()}{start}assistant\n{self._empty_thought()}{{{{ text }}}}{after}",
            "{% endif %}{% set ns.before = m['role'] %}{% endfor %}",
            "{% if true %}" if self.always else "{% if add_generation_prompt %}",
            self._asked(start) if self.asks else "",
            ("{% else %}" + EOS if self.closes else "") + "{% endif %}",
        ]
        return "".join(parts)

    def _rules(self) -> str:
        if not self.alternates:
            return ""
        return (
            "{% if m['role'] == ns.before or (ns.before in ['', 'system']) != (m['role'] in ['user', 'system']) and "
            "ns.before in ['', 'system'] %}{{ raise_exception('user and assistant must take turns') }}{% endif %}"
        )

    def _system(self, start: str, end: str) -> str:
        return {
            "turn": f"{start}system\n{{{{ text }}}}{end}\n",
            "refused": "{{ raise_exception('no system turns here') }}",
            "dropped": "",
            "cut": start + "system\n{{ text[:5] }}" + end,
            "user": "{% set ns.head = text + '\n\n' %}",
            "last_user": "{% set ns.system = text + '\n\n' %}",
        }[self.system]

    def _user_head(self) -> str:
        if self.system != "last_user":
            return ""
        return "{% if ns.system is defined and loop.index0 == ns.last %}{% set ns.head = ns.system %}{% endif %}"

    def _tool(self, start: str, end: str) -> str:
        return {
            "turn": f"{start}tool\n{{{{ text }}}}{end}\n",
            "json": f"{start}tool\n{{{{ text | tojson }}}}{end}\n",
            "refused": "{{ raise_exception('no tools here') }}",
            "dropped": "",
            "user": f"{start}user\n<tool_response>\n{{{{ text }}}}\n</tool_response>{end}\n",
        }[self.tool]

    def _thoughts(self) -> str:
        if self.thoughts != "stripped":
            return ""
        return (
            "{% if '</think>' in text and not loop.last %}{% set text = text.split('</think>')[-1].lstrip('\n') %}"
            "{% endif %}"
        )

    def _empty_thought(self) -> str:
        if self.thoughts != "asked":
            return ""
        return (
            "{% if loop.last and '</think>' not in text and loop.index0 > ns.last %}{{ '<think>\n\n</think>\n\n' }}"
            "{% endif %}"
        )

    def _asked(self, start: str) -> str:
        thought = (
            "{% if enable_thinking is defined and enable_thinking is false %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"
        )
        return f"{start}assistant\n" + (thought if self.thoughts == "asked" else "")


QUIRKS = st.builds(
    Quirks,
    system=st.sampled_from(["turn", "refused", "dropped", "cut", "user", "last_user"]),
    tool=st.sampled_from(["turn", "json", "refused", "dropped", "user"]),
    alternates=st.booleans(),
    trims=st.booleans(),
    special=st.booleans(),
    end=st.sampled_from(["token", "line", "twice", "eos"]),
    closes=st.booleans(),
    thoughts=st.sampled_from(["kept", "stripped", "asked"]),
    date=st.booleans(),
    bos=st.booleans(),
    asks=st.booleans(),
    always=st.booleans(),
)
TEXTS = st.one_of(
    st.sampled_from(
        [
            "user",
            "assistant",
            "1",
            "Today is",
            " padded ",
            "a\n\nb\n",
            "<tool_call>{}</tool_call>",
            "<think>\nHm\n</think>\n\nYes",
            "système",
        ]
    ),
    st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn", "Zl", "Zp"]), min_size=1, max_size=30).filter(
        str.strip
    ),
)


def must_fit(quirks: Quirks, messages: Sequence[Message]) -> bool:
    """Whether such a template can be given all of the conversation: only thoughts that it strips are gone for good."""
    return quirks.thoughts != "stripped" or not any("</think>" in turn.content for turn in messages)


@st.composite
def conversations(draw: Any) -> list[Message]:
    """Turns as examples have them: a system turn or none, questions, answers, and what tools say between answers."""
    messages = [Message(role="system", content=draw(TEXTS))] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(1, 3))):
        messages.append(Message(role="user", content=draw(TEXTS)))
        for _ in range(draw(st.integers(0, 1))):
            messages.append(Message(role="assistant", content=draw(TEXTS)))
            messages += [Message(role="tool", content=draw(TEXTS)) for _ in range(draw(st.integers(1, 2)))]
        messages.append(Message(role="assistant", content=draw(TEXTS)))
    return messages


def tokenizer_with(directory: Path, template: str) -> PreTrainedTokenizerBase:
    """The tokenizer in `directory` with this template, which puts a BOS before all that it is given, as Llama 3's."""
    tokenizer: Any = load_tokenizer(directory)
    tokenizer.add_tokens([AddedToken(name, special=False, normalized=False) for name in (PLAIN_START, PLAIN_END)])
    bos = tokenizer.convert_tokens_to_ids(EOS)
    tokenizer.bos_token = EOS
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{EOS} $A", special_tokens=[(EOS, bos)]
    )
    tokenizer.chat_template = template
    assert tokenizer("a")["input_ids"][0] == bos
    loaded: PreTrainedTokenizerBase = tokenizer
    return loaded
