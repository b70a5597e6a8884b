"""An OpenAI-compatible server around a real model, and the faults that it can be told to show."""

import http.server
import json
import threading
import time

import pytest
import torch


class JudgeServer(http.server.ThreadingHTTPServer):
    """An OpenAI-compatible server around a real model; `faults` are served first, one a request."""

    daemon_threads = True

    def __init__(self, judge):
        super().__init__(("127.0.0.1", 0), Handler)
        self.model, self.tokenizer = judge.engine.model, judge.builder.tokenizer
        self.style = "vllm"
        self.refuses = lambda ids: False
        self.faults = []
        self.always = None
        self.requests = []
        self.read_ids = []
        self.began = []
        self.lock = threading.Lock()
        self.under_way = self.most_under_way = 0
        self.pause = 0.0

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request, client_address):
        pass  # a client that gave up waiting is what some tests are about

    def answer(self, path, body):
        if path == "/v1/chat/completions":
            # As servers do: the template around the text, and then whatever control tokens are in it.
            text = self.tokenizer.apply_chat_template(body["messages"], tokenize=False, add_generation_prompt=True)
            ids = self.tokenizer(text, add_special_tokens=False).input_ids
            top, wanted = body["top_logprobs"], None
        else:
            ids, top, wanted = body["prompt"], body["logprobs"], body.get("logprob_token_ids")
            if self.style == "text only":
                ids = self.tokenizer(str(ids), add_special_tokens=False).input_ids
        if self.style == "strict" and wanted:
            return 400, {"error": {"message": "unknown field logprob_token_ids"}}
        if self.style == "five" and top > 5:
            return 400, {"error": {"message": "at most 5 logprobs"}}
        if self.style == "refuses":
            return 422, {"error": {"message": "no logprobs here"}}
        if self.refuses(ids):
            return 400, {"error": {"message": f"{len(ids)} tokens exceed the maximum context length"}}
        self.read_ids.append(ids)
        with torch.inference_mode():
            logprobs = self.model(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
        chosen = list(dict.fromkeys([logprobs.argmax().item(), *(wanted or logprobs.topk(top).indices.tolist())]))
        if self.style == "llama.cpp" or path.endswith("chat/completions"):
            entries = [
                {"token": self.tokenizer.decode([i]), "logprob": logprobs[i].item()}
                | ({"id": i} if self.style == "llama.cpp" else {})
                for i in chosen[:top]
            ]
            reported = {"content": [{**entries[0], "top_logprobs": entries}]}
        else:
            names = [
                f"token_id:{i}" if body.get("return_tokens_as_token_ids") else self.tokenizer.decode([i])
                for i in chosen
            ]
            reported = {"top_logprobs": [dict(zip(names, logprobs[chosen].tolist(), strict=True))]}
        return 200, {
            "choices": [{"text": "", "finish_reason": "length", "logprobs": reported}],
            "usage": {"prompt_tokens": len(ids)},
        }


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        server = self.server
        assert isinstance(server, JudgeServer)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.lock:
            server.began.append(time.monotonic())
            server.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            fault = server.faults.pop(0) if server.faults else server.always
            server.under_way += 1
            server.most_under_way = max(server.most_under_way, server.under_way)
        try:
            time.sleep(server.pause)
            status, answer = server.answer(self.path, body) if fault is None else (0, None)
        finally:
            # Before the reply: the client may begin another request as soon as it has that.
            with server.lock:
                server.under_way -= 1
        if fault is None:
            self.reply(status, json.dumps(answer).encode())
        else:
            fault(self)

    def reply(self, status, content, *, headers=(), length=None):
        self.send_response(status)
        for name, value in (("Content-Type", "application/json"), *headers):
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


def says(status, content, **headers):
    return lambda handler: handler.reply(
        status, content, headers=[(k.replace("_", "-"), v) for k, v in headers.items()]
    )


def cuts_off(handler):
    handler.reply(200, b'{"choices": [', length=1000)
    handler.close_connection = True


def hangs_up(handler):
    handler.connection.close()


def is_slow(handler):
    time.sleep(1.0)
    handler.reply(200, b"{}")


def drips(handler):
    handler.reply(200, b"", length=1000)
    for _ in range(10):
        time.sleep(0.2)
        handler.wfile.write(b" ")


def check(answers, expected):
    for answer, right in zip(answers, expected, strict=True):
        assert answer.probabilities == pytest.approx(right.probabilities, abs=1e-4)
        assert answer.label_mass == pytest.approx(right.label_mass, abs=1e-5)
        assert answer.unseen_mass == 0
