"""The text that a chat template makes of turns, always with the same settings, and what goes wrong in it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from storm_core.chat_templates.clock import clock_at
from storm_core.chat_templates.date import DEFAULT_DATE, read_date
from storm_core.chat_templates.memory_limit import BYTES, limited_memory
from storm_core.chat_templates.time_limit import SECONDS, TimeIsUpError, limited_time
from storm_core.errors import InputError
from storm_core.records import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Why a conversation cannot be rendered, as it is counted.
CHAT_TEMPLATE = "chat_template"
LEFT_OUT = "left_out_by_chat_template"
UNSTABLE_PREFIX = "unstable_prefix"


class MisfitError(Exception):
    """A conversation that cannot be used: `reason` is what it is counted under, the message says what else is known."""

    def __init__(self, reason: str, words: str = "") -> None:
        super().__init__(words)
        self.reason = reason


class Renderer:
    """Renders by the template of one tokenizer.

    Attributes:
        tells_date: whether the template asks for the date.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", date: str = DEFAULT_DATE) -> None:
        self.tells_date = "strftime_now" in str(tokenizer.chat_template)
        self._tokenizer = tokenizer
        self._day = read_date(date)

    def render(self, turns: Sequence[Message], *, prompt: bool, thinking: bool = False) -> str:
        """The turns as text; with `prompt` up to where the model's answer begins.

        Templates of models that can think first are told not to ask for it, unless `thinking`: data, judge and
        benchmarks want the answer.

        Raises:
            MisfitError: the template is broken, or refuses the turns.
            InputError: the template does not end or fills the memory; every other conversation would take as long.
        """
        messages = [{"role": turn.role, "content": turn.content} for turn in turns]
        settings: dict[str, Any] = {} if thinking else {"enable_thinking": False}
        try:
            with clock_at(self._day), limited_time(SECONDS), limited_memory(BYTES):
                text = self._tokenizer.apply_chat_template(
                    messages, tokenize=False, add_generation_prompt=prompt, **settings
                )
        except TimeIsUpError as error:
            raise InputError(
                f"the chat template of {self._tokenizer.name_or_path} does not end: it computes for more than "
                f"{SECONDS:g} seconds on one conversation; give the model another template"
            ) from error
        except MemoryError as error:
            raise InputError(
                f"the chat template of {self._tokenizer.name_or_path} takes more than {BYTES >> 30} GiB of memory for "
                "one conversation; give the model another template"
            ) from error
        except _template_errors() as error:
            words = " ".join(str(error).split()) or type(error).__name__
            raise MisfitError(CHAT_TEMPLATE, words) from error
        return str(text)


def _template_errors() -> tuple[type[Exception], ...]:
    """What a template can raise: its own refusal, or whatever the expressions in it do."""
    # Imported here: only transformers needs it.
    from jinja2 import TemplateError

    expressions = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
    # What jinja2 does not see while it compiles, Python does: a `break` outside of a loop.
    return (TemplateError, SyntaxError, *expressions)
