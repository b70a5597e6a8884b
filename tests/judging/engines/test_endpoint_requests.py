"""How an endpoint is asked: how much at once, how fast, by whom."""

import json
import sys

import pytest
import torch

from storm_core.checkpoints.checkpoint import open_checkpoint
from storm_core.cli import main
from storm_core.errors import InputError
from storm_core.judging.config import ScoreConfig
from storm_core.judging.engines.endpoint import Endpoint
from storm_core.judging.engines.vllm_engine import open_vllm_engine
from tests.judging.judge_stand_in import engine_for


def test_no_more_requests_are_under_way_than_allowed(server, tiny_judge, contexts):
    server.pause = 0.05
    with engine_for(server, tiny_judge, endpoint_concurrency=3) as engine:
        engine.read(contexts).ask(tiny_judge.educational_value)
    assert server.most_under_way == 3


def test_as_many_requests_are_under_way_as_allowed_however_small_the_batch(server, tiny_llama, prepared, tmp_path):
    server.pause = 0.05
    arguments = ["score", "--model", str(tiny_llama), "--examples", str(prepared), "--engine", "openai"]
    arguments += ["--endpoint", server.url, "--endpoint-concurrency", "3", "--batch-size", "1"]
    assert main([*arguments, "--verdicts", str(tmp_path / "verdicts")]) == 0
    assert server.most_under_way == 3


def test_requests_begin_no_faster_than_allowed(server, tiny_judge, contexts):
    with engine_for(server, tiny_judge, endpoint_requests_per_minute=1200) as engine:
        engine.read(contexts).ask(tiny_judge.educational_value)
    assert server.began[-1] - server.began[0] >= 0.05 * (len(server.began) - 1) * 0.9


def test_missing_package_names_the_extra_that_brings_it(monkeypatch, tiny_llama):
    monkeypatch.setitem(sys.modules, "openai", None)
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(InputError, match=r"install storm-kubeflow\[openai\]"):
        Endpoint(ScoreConfig(engine="openai"))
    with pytest.raises(InputError, match=r"install storm-kubeflow\[vllm\]"):
        open_vllm_engine(open_checkpoint(tiny_llama), torch.float32, longest_prompt=100, batch_size=4)


def test_audit_asks_the_endpoint_that_scored_and_no_other(server, tiny_llama, prepared, tmp_path):
    arguments = ["--model", str(tiny_llama), "--examples", str(prepared), "--engine", "openai"]
    arguments += ["--endpoint", server.url, "--min-educational-value", "1"]
    assert main(["score", *arguments, "--verdicts", str(tmp_path / "verdicts")]) == 0
    arguments = ["audit", *arguments, "--verdicts", str(tmp_path / "verdicts"), "--audit", str(tmp_path / "audit")]
    assert main([*arguments, "--endpoint-model", "another"]) == 1
    scored = len(server.requests)
    assert main([*arguments, "--probe-examples", "3"]) == 0
    # Of each rubric: repeated and shuffled, two paraphrases, the labels in both orders.
    assert len(server.requests) - scored == pytest.approx(3 * 2 * 6, abs=2), "one or two more to find the dialect"
    for rubric in json.loads((tmp_path / "audit" / "judge.json").read_text())["rubrics"]:
        assert rubric["probes"][0]["exact_agreement"]["estimate"] == 1.0
