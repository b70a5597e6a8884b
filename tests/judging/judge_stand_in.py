"""A stand-in for servers of judges: the label 4 to everything, but for what a table of servers' habits says."""

import http.server
import json
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

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
        choice = self.choice(body) or logprobs(TOP, body)
        read = self.count(body)
        usage = {"usage": {"prompt_tokens": read, "completion_tokens": 1}} if read is not None else {}
        return json.dumps({"choices": [{"finish_reason": "length", **choice}], **usage}).encode()


class _Handler(http.server.BaseHTTPRequestHandler):
    server: StandIn

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append({**body, "authorization": self.headers["Authorization"], "path": self.path})
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
