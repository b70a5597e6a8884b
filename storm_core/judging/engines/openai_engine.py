"""The judge behind an OpenAI-compatible HTTP endpoint.

Where the server takes token ids (vLLM, llama.cpp), it gets the very ids that the other engines read. Where it takes
text alone, control tokens in the example are broken up before it is sent, as the server would read them as such.

How exact the numbers are depends on the server. vLLM reports the label tokens that it is asked for
(`logprob_token_ids`); others report their 20 or 5 most probable tokens, and a label that is not among them counts as 0:
`Answer.unseen_mass` says how much it may have had.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from storm_core.errors import InputError
from storm_core.judging.engines.config import JudgeConfig
from storm_core.judging.engines.endpoint import CHAT_COMPLETIONS, COMPLETIONS, Endpoint
from storm_core.judging.engines.endpoint_responses import RefusedError, read_answer
from storm_core.judging.engines.interface import Answer
from storm_core.judging.wording.prompts import Context, PromptBuilder, Question
from storm_core.progress import report


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """One way of asking for log-probabilities.

    Attributes:
        top: how many of the most probable tokens to report.
        by_id: whether to ask for the label tokens by their ids too; vLLM knows how.
        limit: the field that says how many tokens to generate.
    """

    top: int
    by_id: bool = False
    limit: str = "max_tokens"


# Richest first; the first that the server does not refuse is used. 20 and 5 are the most that servers commonly give.
_DIALECTS = {
    "tokens": (Dialect(top=20, by_id=True), Dialect(top=20), Dialect(top=5)),
    # A server that takes text has its own idea of token ids. Newer models want the new name of the limit.
    "text": (Dialect(top=20), Dialect(top=20, limit="max_completion_tokens"), Dialect(top=5)),
}


# So many contexts of the first batch are tried, and an empty one, before it counts as the server's fault.
_CONTEXTS_TRIED = 3


@dataclass(frozen=True, kw_only=True)
class Taken:
    """A request that the server has taken."""

    context: Context
    question: Question
    dialect: Dialect


class OpenAIEngine:
    """Answers by requests for one generated token, several under way at once."""

    pads = False
    room: int | None = None
    # Unknown here; the server refuses what is too long.
    window: int | None = None

    def __init__(self, endpoint: Endpoint, builder: PromptBuilder, config: JudgeConfig) -> None:
        self._endpoint = endpoint
        self._builder = builder
        self._config = config
        self._taken: Taken | None = None

    def close(self) -> None:
        """Close all connections."""
        self._endpoint.close()

    def read(self, contexts: Sequence[Context]) -> "RemoteReading":
        """Nothing is sent yet; a server that caches prefixes reads each context once for all questions."""
        return RemoteReading(engine=self, contexts=tuple(contexts))

    def ask_all(self, contexts: Sequence[Context], question: Question) -> list[Answer]:
        """The answers about these contexts, in their order.

        Raises:
            InputError: labels look alike to the server, or see `Endpoint.post`.
        """
        labels = self._label_texts(question)
        _check_labels(question, list(labels.values()))
        taken = self._taken = self._taken or self._find_taken(contexts, question)
        with ThreadPoolExecutor(self._config.endpoint_concurrency) as executor:
            # Where one fails, the iterator takes back those that have not begun.
            asked = list(executor.map(lambda context: self._try(context, question, taken.dialect), contexts))
        refusals = [answer for answer in asked if isinstance(answer, RefusedError)]
        if refusals:
            self._check_refusals(taken, refusals, len(contexts))
        nothing = (0.0,) * len(question.label_ids)
        refused = Answer(probabilities=nothing, label_mass=0.0, unseen_mass=1.0, refused=True)
        return [refused if isinstance(answer, RefusedError) else answer for answer in asked]

    def _find_taken(self, contexts: Sequence[Context], question: Question) -> "Taken":
        """What the server takes, found out with the shortest contexts, as it may refuse long ones.

        It may refuse one for its text too, or all of a batch of long ones; the last that is tried has no text.
        """
        dialects = _DIALECTS[self._config.endpoint_prompts]
        shortest = sorted(contexts, key=lambda context: len(context.ids))[:_CONTEXTS_TRIED]
        reasons: list[str] = []
        for context in (*shortest, self._builder.context([], self._config.max_length)):
            for dialect in dialects:
                answer = self._try(context, question, dialect)
                if not isinstance(answer, RefusedError):
                    return Taken(context=context, question=question, dialect=dialect)
                reasons.append(str(answer))
        said = "; ".join(dict.fromkeys(reasons[-len(dialects) :]))
        raise InputError(
            f"{self._endpoint.address} refuses every request for log-probabilities, of an empty example too, with: "
            f"{said}; endpoint_prompts is {self._config.endpoint_prompts!r}, does the server take that?"
        )

    def _check_refusals(self, taken: "Taken", refusals: Sequence[RefusedError], asked: int) -> None:
        """Refusals are about the examples, too long or filtered, if what was taken before is still taken."""
        if isinstance(self._try(taken.context, taken.question, taken.dialect), RefusedError):
            raise InputError(
                f"{self._endpoint.address} refuses what it took before: {refusals[-1]}; what is scored is kept, so run "
                "again when it works"
            )
        report(
            f"{self._endpoint.address} refuses {len(refusals)} of {asked} examples, which count as without an answer; "
            f"the last with: {refusals[-1]}"
        )

    def _try(self, context: Context, question: Question, dialect: Dialect) -> Answer | RefusedError:
        try:
            return self._ask(context, question, dialect)
        except RefusedError as error:
            return error

    def _ask(self, context: Context, question: Question, dialect: Dialect) -> Answer:
        labels = self._label_texts(question)
        if self._config.endpoint_prompts == "tokens":
            path, body = COMPLETIONS, self._token_body(context, question, dialect)
            sent: int | None = len(body["prompt"])
        else:
            path, body, sent = CHAT_COMPLETIONS, self._text_body(context, question, dialect), None
        return self._endpoint.post(path, body, lambda content: read_answer(content, labels, prompt_tokens=sent))

    def _label_texts(self, question: Question) -> dict[int, str]:
        return {token: self._builder.token_text(token) for token in question.label_ids}

    def _token_body(self, context: Context, question: Question, dialect: Dialect) -> dict[str, Any]:
        body = {**self._body(dialect), "prompt": [*context.ids, *question.ids], "logprobs": dialect.top}
        if dialect.by_id:
            body |= {"logprob_token_ids": list(question.label_ids), "return_tokens_as_token_ids": True}
        return body

    def _text_body(self, context: Context, question: Question, dialect: Dialect) -> dict[str, Any]:
        message = {"role": "user", "content": self._builder.harmless_text(context, question)}
        return {**self._body(dialect), "messages": [message], "logprobs": True, "top_logprobs": dialect.top}

    def _body(self, dialect: Dialect) -> dict[str, Any]:
        # At temperature 0 the token that is generated is the most probable one, so no run adds another by chance.
        return {"model": self._config.endpoint_model, "temperature": 0, "seed": 0, dialect.limit: 1}


@dataclass(frozen=True, kw_only=True)
class RemoteReading:
    """Contexts that start the prompts of every question."""

    engine: OpenAIEngine
    contexts: tuple[Context, ...]

    def keep(self, rows: Sequence[int]) -> "RemoteReading":
        """The same reading for these rows alone."""
        return RemoteReading(engine=self.engine, contexts=tuple(self.contexts[row] for row in rows))

    def ask(self, question: Question) -> list[Answer]:
        """One request for each context."""
        return self.engine.ask_all(self.contexts, question)


def _check_labels(question: Question, texts: Sequence[str]) -> None:
    """Many servers name tokens by text alone, where bytes that are no whole character are all the same."""
    if len(set(texts)) < len(texts) or any("\N{REPLACEMENT CHARACTER}" in text for text in texts):
        raise InputError(
            f"rubric {question.rubric.name}: engine openai tells labels apart by the text of their first tokens, and "
            f"those of {list(question.rubric.labels)} are {list(texts)}; choose labels whose first tokens differ as "
            "text and are whole characters, such as digits, or another engine"
        )


def open_openai_engine(config: JudgeConfig, builder: PromptBuilder) -> OpenAIEngine:
    """The engine for the endpoint that `config` names; nothing is sent yet.

    Raises:
        InputError: see `Endpoint`.
    """
    return OpenAIEngine(Endpoint(config), builder, config)
