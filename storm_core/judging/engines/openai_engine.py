"""The judge behind an OpenAI-compatible HTTP endpoint.

Where the server takes token ids (vLLM, llama.cpp), it gets the very ids that the other engines read. Where it takes
text alone, control tokens in the example are broken up before it is sent, as the server would read them as such.

How exact the numbers are depends on the server. vLLM reports the label tokens that it is asked for
(`logprob_token_ids`); others report their 20 or 5 most probable tokens, and a label that is not among them counts as 0:
`Answer.unseen_mass` says how much it may have had.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

from storm_core.errors import InputError
from storm_core.judging.engines.answers import make_answer
from storm_core.judging.engines.config import JudgeConfig
from storm_core.judging.engines.endpoint import Endpoint
from storm_core.judging.engines.endpoint_prompt_size import SPECIMEN, Gauge, Size
from storm_core.judging.engines.endpoint_responses import RefusedError, is_thought, read_answer, tokens_read
from storm_core.judging.engines.interface import Answer, StoppedError
from storm_core.judging.engines.openai_requests import DIALECTS, Dialect, ask_each, request
from storm_core.judging.wording.prompts import Context, PromptBuilder, Question
from storm_core.progress import report
from storm_core.records import Message

# So many contexts of the first batch are tried, and an empty one, before it counts as the server's fault.
_CONTEXTS_TRIED = 3
# So often is asked again what was taken before.
_TRIES_OF_TAKEN = 3


@dataclass(frozen=True, kw_only=True)
class Taken:
    """A request that the server has taken.

    Attributes:
        gauge: how the server counts the tokens of text; None where ids are sent, or it does not say.
    """

    context: Context
    question: Question
    dialect: Dialect
    gauge: Gauge | None = None


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
        # Rubrics of which a label was seen, and of which it was said that there was none.
        self._seen: set[str] = set()
        self._said: set[str] = set()

    def close(self) -> None:
        """Close all connections."""
        self._endpoint.close()

    def read(self, contexts: Sequence[Context]) -> "RemoteReading":
        """Nothing is sent yet; a server that caches prefixes reads each context once for all questions."""
        return RemoteReading(engine=self, contexts=tuple(contexts))

    def ask_all(self, contexts: Sequence[Context], question: Question) -> list[Answer]:
        """The answers about these contexts, in their order.

        Raises:
            InputError: labels look alike to the server, the judge thinks first, or see `Endpoint.post`.
            StoppedError: the endpoint answered some and then failed.
        """
        _check_labels(question, list(self._label_texts(question).values()))
        self._endpoint.start()
        taken = self._taken = self._taken or self._find_taken(contexts, question)
        asked, error = ask_each(
            lambda context: self._try(context, question, taken.dialect, taken.gauge),
            contexts,
            at_once=self._config.endpoint_concurrency,
            stop=self._endpoint.stop,
        )
        answers = [answer if isinstance(answer, Answer) else None for answer in asked]
        refusals = [answer for answer in asked if isinstance(answer, RefusedError)]
        error = error or self._check_refusals(taken, refusals, len(contexts))
        if error:
            raise StoppedError(str(error), answers) from error
        self._check_unanswered(taken, question, [answer for answer in answers if answer])
        refused = make_answer([None] * len(question.label_ids), 1.0)
        return [answer or refused for answer in answers]

    def _find_taken(self, contexts: Sequence[Context], question: Question) -> "Taken":
        """What the server takes, found out with the shortest contexts, as it may refuse long ones.

        It may refuse one for its text too, or all of a batch of long ones; the last that is tried has no text.
        """
        dialects = DIALECTS[self._config.endpoint_prompts]
        shortest = sorted(contexts, key=lambda context: len(context.ids))[:_CONTEXTS_TRIED]
        refusals: list[RefusedError] = []
        for context in (*shortest, self._specimen()):
            for dialect in dialects:
                answer = self._try(context, question, dialect)
                if not isinstance(answer, RefusedError):
                    gauge = self._find_gauge(question, dialect) if self._config.endpoint_prompts == "text" else None
                    return Taken(context=context, question=question, dialect=dialect, gauge=gauge)
                refusals.append(answer)
        last = refusals[-len(dialects) :]
        said = list(dict.fromkeys(map(str, last)))
        advice = f"endpoint_prompts is {self._config.endpoint_prompts!r}, does the server take that?"
        if all(refusal.status == HTTPStatus.FORBIDDEN for refusal in last):
            advice = self._endpoint.key_advice()
        raise InputError(
            f"{self._endpoint.address} refuses every request for log-probabilities, of an empty example too, with "
            f"{'; '.join(said)}; {advice}"
        )

    def _find_gauge(self, question: Question, dialect: Dialect) -> Gauge | None:
        sizes = [self._size(self._specimen(*more), question, dialect) for more in ((), (SPECIMEN,))]
        empty, specimen = sizes
        return Gauge(empty=empty, specimen=specimen) if empty and specimen else None

    def _size(self, context: Context, question: Question, dialect: Dialect) -> Size | None:
        path, body = request(self._builder, self._config, context, question, dialect)
        try:
            read = self._endpoint.post(path, body, tokens_read)
        except RefusedError:
            return None
        return Size(counted=_counted(context, question), read=read) if read else None

    def _specimen(self, *messages: Message) -> Context:
        return self._builder.context(messages, self._config.max_length)

    def _check_refusals(self, taken: "Taken", refusals: Sequence[RefusedError], asked: int) -> InputError | None:
        """The error that refusals are, which are about the examples if what was taken before is still taken."""
        if not refusals:
            return None
        again: Answer | RefusedError = refusals[-1]
        try:
            # Some filters have moods.
            for _ in range(_TRIES_OF_TAKEN):
                if isinstance(again, RefusedError):
                    again = self._try(taken.context, taken.question, taken.dialect)
        except InputError as error:
            return error
        if isinstance(again, RefusedError):
            return InputError(
                f"{self._endpoint.address} refuses what it took before, with {again}; what is scored is kept, so run "
                "again when it works"
            )
        report(
            f"{self._endpoint.address} refuses {len(refusals)} of {asked} examples, which count as without an answer; "
            f"the last with {refusals[-1]}"
        )
        return None

    def _check_unanswered(self, taken: "Taken", question: Question, answers: Sequence[Answer]) -> None:
        """Say what the judge says where it gives no label; a judge that thinks first will never give one."""
        name = question.rubric.name
        silent = [answer for answer in answers if not answer.is_answer]
        if len(silent) < len(answers):
            self._seen.add(name)
        if not silent:
            return
        said = f"begins with {self._endpoint.shown(silent[-1].instead)!r}"
        if name not in self._seen and all(is_thought(answer.instead) for answer in silent):
            again = self._try(self._specimen(), question, taken.dialect)
            if isinstance(again, Answer) and is_thought(again.instead):
                raise InputError(
                    f"the judge at {self._endpoint.address} thinks before it answers: it {said}, where a label of "
                    f"{', '.join(question.rubric.labels)} is wanted; switch its thinking off at the server, or choose "
                    "another judge"
                )
        if name not in self._said:
            self._said.add(name)
            report(
                f"{self._endpoint.address} gives none of the labels of {name} for {len(silent)} of {len(answers)} "
                f"examples, which count as without an answer: it {said}"
            )

    def _try(
        self, context: Context, question: Question, dialect: Dialect, gauge: Gauge | None = None
    ) -> Answer | RefusedError:
        try:
            return self._ask(context, question, dialect, gauge)
        except RefusedError as error:
            return error

    def _ask(self, context: Context, question: Question, dialect: Dialect, gauge: Gauge | None) -> Answer:
        labels = self._label_texts(question)
        path, body = request(self._builder, self._config, context, question, dialect)
        sent = len(body["prompt"]) if "prompt" in body else None

        def read(content: bytes) -> Answer:
            if gauge:
                gauge.check(_counted(context, question), tokens_read(content))
            return read_answer(content, labels, prompt_tokens=sent, token_text=self._builder.token_text)

        return self._endpoint.post(path, body, read)

    def _label_texts(self, question: Question) -> dict[int, str]:
        return {token: self._builder.token_text(token) for token in question.label_ids}


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


def _counted(context: Context, question: Question) -> int:
    return len(context.ids) + len(question.ids)


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
