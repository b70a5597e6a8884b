"""An HTML page in headless Chromium as the KFP UI shows it: in an iframe that may run scripts and has no origin.

Chromium is told by its debugging protocol over a pipe what to do, and tells what the page complains of; its log of the
network tells what the page asked for. No host can be reached from it.
"""

import base64
import contextlib
import fcntl
import html
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")
TIMEOUT_SECONDS = 60
# For what a page does once it is there: images that fail, timers.
_SETTLED_SECONDS = 0.3
# Chromium expects its pipes here; nothing of ours may lie in their way.
_READS, _WRITES, _FREE = 3, 4, 10
_START = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execvp(sys.argv[3], sys.argv[3:])"
)
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--hide-scrollbars",
    "--no-first-run",
    "--remote-debugging-pipe",
    # Every name leads to nothing.
    "--host-resolver-rules=MAP * ~NOTFOUND",
)
# What is in the page itself; and as whose Chromium logs what it asks for by itself.
_INSIDE = ("data:", "about:", "blob:")
_OWN = "not an origin"
# Where the page around the iframe says that it lies, as the KFP UI does.
UI = "http://kfp.example/"


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What became of a page.

    Attributes:
        errors: what the console told at the level of an error: scripts that failed, and what was refused or not found.
        requests: every address that was asked for, whether or not it was reached.
        text: what a person reads, from the top to the bottom.
        width: of what is shown, in pixels; greater than that of the window where the page does not fit.
    """

    errors: list[str]
    requests: list[str]
    text: str
    width: int


def show(page: str, *, width: int = 1000, screenshot: Path | None = None, click: str = "") -> Shown:
    """Open the HTML text `page`, and click on the first element that the selector `click` finds.

    Raises:
        RuntimeError: there is no Chromium here, or it did not do what it was told.
    """
    with _chromium() as browser:
        session = browser.open_page(width)
        content = (
            f'<iframe sandbox="allow-scripts" srcdoc="{html.escape(page)}" style="border: 0; width: 100%"></iframe>'
        )
        frame = browser.call("Page.getFrameTree", session)["frameTree"]["frame"]["id"]
        browser.call(
            "Page.setDocumentContent", session, frameId=frame, html=f"<base href={UI}><body style='margin: 0'>{content}"
        )
        inner = browser.wait_for(lambda: browser.frame_inside(frame))
        browser.wait_for(lambda: browser.evaluate(inner(), "document.readyState === 'complete'"))
        browser.run_for(_SETTLED_SECONDS)
        if click:
            browser.evaluate(inner(), f"document.querySelector({json.dumps(click)}).click()")
            browser.run_for(_SETTLED_SECONDS)
        text = browser.evaluate(inner(), "document.documentElement.innerText")
        size = browser.evaluate(
            inner(), "[document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
        )
        if screenshot:
            browser.photograph(session, width, size[1], screenshot)
    return Shown(errors=browser.errors, requests=browser.requests, text=text, width=size[0])


@dataclass
class _Context:
    """Where a script runs: a frame's own world, and the session that reaches it."""

    id: int
    session: str
    frame: str


@dataclass
class _Browser:
    """The other end of Chromium's pipes."""

    commands: IO[bytes]
    events: IO[bytes]
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    contexts: list[_Context] = field(default_factory=list)
    _answers: dict[int, Any] = field(default_factory=dict)
    _number: int = 0
    _rest: bytes = b""

    def open_page(self, width: int) -> str:
        """A new empty page; returns its session."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session: str = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._watch(session)
        self.call("Page.enable", session)
        self._resize(session, width, 800)
        return session

    def frame_inside(self, outer: str) -> Callable[[], _Context] | None:
        """Gives the context of the frame inside of `outer`, always the newest."""

        def newest() -> _Context:
            return [context for context in self.contexts if context.frame != outer][-1]

        return newest if any(context.frame != outer for context in self.contexts) else None

    def evaluate(self, context: _Context, expression: str) -> Any:
        """The value of a script's expression there."""
        result = self.call(
            "Runtime.evaluate", context.session, expression=expression, contextId=context.id, returnByValue=True
        )
        if "exceptionDetails" in result:
            raise RuntimeError(f"{expression}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def photograph(self, session: str, width: int, height: int, file: Path) -> None:
        """Write the page, as large as it is, as a PNG."""
        self._resize(session, width, height)
        style = f"document.querySelector('iframe').style.height = '{height}px'"
        self.call("Runtime.evaluate", session, expression=style)
        self.run_for(_SETTLED_SECONDS)
        shot = self.call("Page.captureScreenshot", session, format="png")
        file.write_bytes(base64.b64decode(shot["data"]))

    def call(self, method: str, session: str = "", **parameters: Any) -> Any:
        """Send a command and return its result."""
        number = self._send(method, session, **parameters)
        answer = self.wait_for(lambda: self._answers.pop(number, None))
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def wait_for(self, condition: Callable[[], Any]) -> Any:
        """Listen until the condition has a value that is true, and return that."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not (value := condition()):
            if time.monotonic() > deadline:
                raise RuntimeError(f"Chromium did not answer in {TIMEOUT_SECONDS} s")
            self._listen(0.05)
        return value

    def run_for(self, seconds: float) -> None:
        """Listen for a while."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._listen(0.05)

    def _send(self, method: str, session: str, **parameters: Any) -> int:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        self.commands.write(json.dumps({**message, **({"sessionId": session} if session else {})}).encode() + b"\0")
        self.commands.flush()
        return self._number

    def _watch(self, session: str) -> None:
        """Hear of all that happens in this page or frame, and in frames that have a process of their own."""
        for domain in ("Log", "Runtime"):
            self._send(f"{domain}.enable", session)
        options = {"autoAttach": True, "waitForDebuggerOnStart": True, "flatten": True}
        self._send("Target.setAutoAttach", session, **options)
        self._send("Runtime.runIfWaitingForDebugger", session)

    def _resize(self, session: str, width: int, height: int) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", session, **size)

    def _listen(self, seconds: float) -> None:
        """Take in what has come, or what comes first."""
        os.set_blocking(self.events.fileno(), False)
        block = self.events.read(1 << 20)
        if not block:
            time.sleep(seconds)
            return
        *messages, self._rest = (self._rest + block).split(b"\0")
        for message in messages:
            self._take(json.loads(message))

    def _take(self, message: dict[str, Any]) -> None:
        if "id" in message:
            self._answers[message["id"]] = message
            return
        method, told, session = message["method"], message["params"], message.get("sessionId", "")
        if method == "Log.entryAdded" and told["entry"]["level"] == "error":
            self.errors.append(f"{told['entry']['text']} {told['entry'].get('url', '')}".strip())
        elif method == "Runtime.exceptionThrown":
            self.errors.append(told["exceptionDetails"]["text"])
        elif method == "Runtime.consoleAPICalled" and told["type"] in ("error", "assert"):
            self.errors.append(" ".join(str(argument.get("value")) for argument in told["args"]))
        elif method == "Target.attachedToTarget":
            self._watch(told["sessionId"])
        elif method == "Runtime.executionContextCreated":
            context = told["context"]
            self.contexts.append(_Context(context["id"], session, context["auxData"].get("frameId", "")))
        elif method == "Runtime.executionContextDestroyed":
            gone = (told["executionContextId"], session)
            self.contexts = [one for one in self.contexts if (one.id, one.session) != gone]


@contextlib.contextmanager
def _chromium() -> Iterator[_Browser]:
    program = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, PROGRAMS)), None)
    if not program:
        raise RuntimeError(f"no Chromium here: install one of {', '.join(PROGRAMS)}, or set CHROMIUM to the program")
    with tempfile.TemporaryDirectory(prefix="storm-chromium-", ignore_cleanup_errors=True) as profile:
        log = Path(profile) / "network.json"
        (reads, commands), (events, writes) = (_high(os.pipe()) for _ in range(2))
        command = [program, *_FLAGS, f"--user-data-dir={profile}", f"--log-net-log={log}", "about:blank"]
        process = subprocess.Popen(
            [sys.executable, "-c", _START, str(reads), str(writes), *command],
            pass_fds=(reads, writes),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(reads)
        os.close(writes)
        with os.fdopen(commands, "wb") as told, os.fdopen(events, "rb", buffering=0) as heard:
            browser = _Browser(told, heard)
            try:
                yield browser
                browser.call("Browser.close")  # So that it writes its log to the end.
                process.wait(timeout=TIMEOUT_SECONDS)
            finally:
                process.kill()
                process.wait()
        browser.requests = _requests(log)


def _requests(log: Path) -> list[str]:
    """What pages asked for, without what Chromium itself did."""
    told = json.loads(log.read_text(encoding="utf-8"))
    kind = told["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    asked = [event["params"] for event in told["events"] if event["type"] == kind and "params" in event]
    pages = [params["url"] for params in asked if params.get("initiator", _OWN) != _OWN]
    return [url for url in pages if not url.startswith(_INSIDE)]


def _high(pipe: tuple[int, int]) -> tuple[int, int]:
    """The same pipe under numbers that Chromium does not use."""
    high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, _FREE) for end in pipe]
    for end in pipe:
        os.close(end)
    return high[0], high[1]
