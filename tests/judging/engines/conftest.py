"""The server around a real model, what it is asked about, and the right answers."""

import threading

import pytest

from tests.judging.engines.judge_server import JudgeServer
from tests.judging.judge_stand_in import prepared_in


@pytest.fixture
def server(tiny_judge, quick_endpoint):
    with JudgeServer(tiny_judge) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def prepared(tmp_path, examples):
    return prepared_in(tmp_path, examples)


@pytest.fixture(scope="session")
def contexts(tiny_judge, examples):
    return [tiny_judge.builder.context(example.messages, 512) for example in examples]


@pytest.fixture(scope="session")
def expected(tiny_judge, contexts):
    """The answers of the engine in this process to both questions."""
    reading = tiny_judge.engine.read(contexts)
    return [reading.ask(question) for question in (tiny_judge.educational_value, tiny_judge.difficulty)]
