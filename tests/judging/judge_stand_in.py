"""A stand-in for servers of judges: the label 4 to everything, but for what a table of servers' habits says."""

import http.server
import json
import math
import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storm_core.artifacts import seal
from storm_core.execution import Outcome, execute
from storm_core.judging.config import SCORE, ScoreConfig
from storm_core.judging.engines.interface import Engine
from storm_core.judging.engines.openai_engine import open_openai_engine
from storm_core.judging.judge import Judge
from storm_core.records import Example, Message, make_example, write_examples

KEY = "sk-very-secret-1234"

PASSES, REFUSES, ENDS = "passes", "refuses", "ends"
# Labels, and what tokenizers may have as their first tokens.
TOP = {"4": 0.5, "5": 0.2, "3": 0.1, "2": 0.02, "1": 0.01}
TOP |= {word[:end]: 0.01 for word in ("easy", "medium", "hard") for end in range(1, 5)}


@dataclass(frozen=True, kw_only=True)
class Quirk:
    """What a server answers in place of an answer; `%s` in the body stands for its words.

    Attributes:
        kind: whether it passes, is about the request, or is for good.
    """

    kind: str
    status: int
    body: Any

    def reply(self, words: str) -> tuple[int, bytes]:
        text = self.body if isinstance(self.body, str) else json.dumps(self.body)
        return self.status, text.replace("%s", words).encode()


def _openai(status: int, **more: Any) -> dict[str, Any]:
    return {"error": {"message": "%s", "code": status, **more}}


QUIRKS = {
    "OpenRouter: a rate limit in a 200": Quirk(kind=PASSES, status=200, body={**_openai(429), "user_id": "u"}),
    "OpenRouter: a choice with an error": Quirk(
        kind=PASSES, status=200, body={"choices": [{"finish_reason": "error", **_openai(502)}]}
    ),
    "OpenRouter: the provider's words": Quirk(
        kind=PASSES,
        status=200,
        body={"error": {"code": 503, "message": "Provider returned error", "metadata": {"raw": "%s"}}},
    ),
    "OpenRouter: moderation": Quirk(kind=REFUSES, status=403, body=_openai(403, metadata={"reasons": ["harassment"]})),
    "OpenRouter: moderation in a 200": Quirk(kind=REFUSES, status=200, body=_openai(403)),
    "OpenRouter: no credits": Quirk(kind=ENDS, status=402, body=_openai(402)),
    "OpenRouter: no credits in a 200": Quirk(kind=ENDS, status=200, body=_openai(402)),
    "OpenAI: a quota": Quirk(
        kind=ENDS,
        status=429,
        body={"error": {"message": "%s", "type": "insufficient_quota", "code": "insufficient_quota"}},
    ),
    "LiteLLM: a rate limit": Quirk(
        kind=PASSES, status=429, body={"error": {"message": "%s", "type": "throttling_error", "code": "429"}}
    ),
    "LiteLLM: a rate limit in a 200": Quirk(
        kind=PASSES, status=200, body={"error": {"message": "%s", "type": "throttling_error", "code": "429"}}
    ),
    "LiteLLM: a key": Quirk(kind=ENDS, status=401, body={"error": {"message": "%s", "type": "auth_error"}}),
    "one-api: a key in a 200": Quirk(
        kind=ENDS, status=200, body={"error": {"message": "%s", "code": "invalid_api_key"}}
    ),
    "vLLM: too long": Quirk(kind=REFUSES, status=400, body=_openai(400, type="BadRequestError")),
    "SGLang: too long": Quirk(
        kind=REFUSES, status=400, body={"object": "error", "message": "%s", "type": "BadRequestError", "code": 400}
    ),
    "SGLang: too long in a 200": Quirk(
        kind=REFUSES, status=200, body={"object": "error", "message": "%s", "type": "BadRequestError", "code": 400}
    ),
    "llama.cpp: too long": Quirk(kind=REFUSES, status=500, body=_openai(500, type="exceed_context_size_error")),
    "llama.cpp: too long in a 200": Quirk(
        kind=REFUSES, status=200, body=_openai(400, type="exceed_context_size_error")
    ),
    "llama.cpp: context size": Quirk(
        kind=REFUSES,
        status=500,
        body={"error": {"code": 500, "message": "Context size has been exceeded. %s", "type": "server_error"}},
    ),
    "llama.cpp: loading": Quirk(kind=PASSES, status=503, body=_openai(503, type="unavailable_error")),
    "llama.cpp: no such interface": Quirk(kind=ENDS, status=501, body=_openai(501, type="not_supported_error")),
    "Ollama: no model": Quirk(kind=ENDS, status=404, body={"error": {"message": "%s", "type": "api_error"}}),
    "Ollama: a plain error": Quirk(kind=PASSES, status=500, body={"error": "%s"}),
    "TGI: overloaded": Quirk(kind=PASSES, status=429, body={"error": "%s", "error_type": "overloaded"}),
    "FastAPI: a field": Quirk(kind=REFUSES, status=422, body={"detail": [{"loc": ["body"], "msg": "%s"}]}),
    "TGI: a failure while it generates": Quirk(
        kind=PASSES, status=424, body={"error": "%s", "error_type": "generation"}
    ),
    "Groq: no room": Quirk(kind=PASSES, status=498, body={"error": {"message": "%s"}}),
    "Gemini: a key": Quirk(kind=ENDS, status=400, body=[{"error": {"code": 400, "message": "API key not valid. %s"}}]),
    "MiniMax: its own code in a 200": Quirk(
        kind=PASSES, status=200, body={"choices": None, "base_resp": {"status_code": 1000, "status_msg": "%s"}}
    ),
    "Baidu: its own code in a 200": Quirk(kind=PASSES, status=200, body={"error_code": 18, "error_msg": "%s"}),
    "a gateway: a list": Quirk(kind=PASSES, status=200, body={"success": False, "errors": [{"message": "%s"}]}),
    "a proxy: a page": Quirk(kind=PASSES, status=502, body="<html><h1>%s</h1></html>"),
    "a firewall: a page": Quirk(kind=REFUSES, status=403, body="<html><h1>%s</h1></html>"),
    "nginx: too large": Quirk(kind=REFUSES, status=413, body="%s"),
    "a teapot": Quirk(kind=ENDS, status=418, body="%s"),
}


def logprobs(top: dict[str, float], body: dict[str, Any]) -> dict[str, Any]:
    """A choice that reports these tokens, in the form that was asked for."""
    text = next(iter(top))
    if "messages" in body:
        entries = [{"token": token, "logprob": math.log(share)} for token, share in top.items()]
        content = [{**entries[0], "top_logprobs": entries}]
        return {"message": {"role": "assistant", "content": text}, "logprobs": {"content": content}}
    reported = {token: math.log(share) for token, share in top.items()}
    return {"text": text, "logprobs": {"tokens": [text], "top_logprobs": [reported]}}


def thought(text: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda body: logprobs({text: 0.99, "4": 0.001}, body)


def apart(name: str, reported: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A thought that the server gives apart from the answer, which is empty."""
    return lambda body: {"message": {"content": None, name: "Okay, so"}, "text": "", "logprobs": reported}


THOUGHTS = {
    "Qwen3, R1": thought("<think>"),
    "after a line's end": thought("\n<think>"),
    "gpt-oss": thought("<|channel|>"),
    "Mistral": thought("[THINK]"),
    "Cohere": thought("<|START_THINKING|>"),
    "a reasoning parser": apart("reasoning_content", None),
    "SGLang's parser": apart("reasoning_content", {"content": []}),
    "Ollama, OpenRouter": apart("reasoning", None),
}


class StandIn(http.server.ThreadingHTTPServer):
    """Answers with `answer`, or what `instead` gives for a body; keeps bodies and headers in `requests`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.instead: Callable[[dict[str, Any]], tuple[int, bytes] | None] = lambda body: None
        self.headers: dict[str, str] = {}
        self.requests: list[dict[str, Any]] = []
        self.count: Callable[[dict[str, Any]], int | None] = lambda body: None
        self.choice: Callable[[dict[str, Any]], dict[str, Any] | None] = lambda body: None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def answer(self, body: dict[str, Any]) -> bytes:
        """What it says to a request that nothing is wrong with."""
        return self.written(self.choice(body) or logprobs(TOP, body), self.count(body))

    @staticmethod
    def written(choice: dict[str, Any], read: int | None = None) -> bytes:
        """A response with one choice; `read` is how many tokens of the prompt it says that it read."""
        usage = {"usage": {"prompt_tokens": read, "completion_tokens": 1}} if read is not None else {}
        return json.dumps({"choices": [{"finish_reason": "length", **choice}], **usage}).encode()


class _Handler(http.server.BaseHTTPRequestHandler):
    server: StandIn

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        headers = {name: self.headers[name] for name in ("authorization", "accept-encoding")}
        self.server.requests.append({**body, **headers, "path": self.path})
        status, content = self.server.instead(body) or (200, self.server.answer(body))
        self.send_response(status)
        for name, value in {**self.server.headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def stand_in() -> Iterator[StandIn]:
    """A server that listens."""
    with StandIn() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def config_for(server: Any, **options: Any) -> ScoreConfig:
    """Options of `score` for a server with a `url`."""
    return ScoreConfig(
        **{"engine": "openai", "endpoint": server.url, "endpoint_retries": 2, "endpoint_concurrency": 3} | options
    )


@contextmanager
def engine_for(server: Any, judge: Judge, **options: Any) -> Iterator[Engine]:
    """The engine that asks the server."""
    engine = open_openai_engine(config_for(server, **options), judge.builder)
    yield engine
    engine.close()


def score(server: Any, model: Path, examples: Path, output: Path, **options: Any) -> Outcome:
    """What `storm score` gives."""
    given = {"min_educational_value": 1.0, "endpoint_concurrency": 2, "keep_seconds": 0.0} | options
    return execute(
        SCORE,
        config_for(server, **given),
        inputs={"model": [str(model)], "examples": [str(examples)]},
        outputs={"verdicts": output},
        value_files={},
    )


def prepared_in(directory: Path, examples: Sequence[Example]) -> Path:
    """What `prepare` would write of these examples."""
    (directory / "examples").mkdir()
    write_examples(directory / "examples" / "shard-00000.parquet", examples)
    seal(directory / "examples", "examples", producer={}, inputs={}, metrics={})
    return directory / "examples"


def drawn_examples(draw: random.Random, count: int = 6, longest: int = 40) -> tuple[list[str], list[Example]]:
    """Examples of different lengths, each with a word that none of the others has."""
    words = [f"word{number}x" for number in draw.sample(range(1000, 9999), count)]
    texts = [f"{word} " + "fox and hound " * draw.randrange(1, longest) for word in words]
    return words, [
        make_example("chat", [Message(role="user", content="Go on"), Message(role="assistant", content=text)])
        for text in texts
    ]


def contexts_of(judge: Judge, examples: Sequence[Example], length: int = 512) -> list[Any]:
    """What the engine reads of each example."""
    return [judge.builder.context(example.messages, length) for example in examples]


def text_of(judge: Judge, body: Mapping[str, Any]) -> Any:
    """The text of a request, which is for a chat or has token ids."""
    return body["messages"][0]["content"] if "messages" in body else judge.builder.tokenizer.decode(body["prompt"])
