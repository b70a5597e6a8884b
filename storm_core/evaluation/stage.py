"""`evaluate`: run a suite on one model; writes results.json and every prompt, reply and verdict."""

import dataclasses
import json
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from storm_core.chat_templates.chat_template import ChatTemplate
from storm_core.chat_templates.rendering import MisfitError
from storm_core.chat_templates.telling import tell_readings
from storm_core.checkpoints.checkpoint import open_checkpoint
from storm_core.checkpoints.loading import load_tokenizer, load_weights
from storm_core.checkpoints.turn_ends import tell_unwritten_ends
from storm_core.devices import resolve_dtype
from storm_core.errors import InputError
from storm_core.evaluation.config import EvaluateConfig
from storm_core.evaluation.definition import check_definition
from storm_core.evaluation.evaluation_cache import ReplyCache, keep_measurement, read_measurement
from storm_core.evaluation.function_calling import chat_prompts, draw_entries, measure_function_calling
from storm_core.evaluation.generation import drop_searches_of_a_hub, stop_tokens
from storm_core.evaluation.harness import check_tasks, measure_task
from storm_core.evaluation.lm_eval_run import quiet
from storm_core.evaluation.questions import multiple_choice, read_pairs
from storm_core.evaluation.rehearsal import rehearse
from storm_core.evaluation.scores import Measurement
from storm_core.evaluation.suite import Benchmark, FunctionCalling, LmEval, Questions, Suite, load_suite
from storm_core.heartbeat import activity
from storm_core.progress import report
from storm_core.records import Message
from storm_core.stage import Inputs, Results
from storm_core.stores.partial_results import PartialResults
from storm_core.toolcalls.prompts import prompt_sha256
from storm_core.workspace import Workspace

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_FEW_SHOT = (
    Message(role="user", content="Is it raining?"),
    Message(role="assistant", content="Not yet."),
    Message(role="user", content="And tomorrow?"),
)


@dataclasses.dataclass(frozen=True)
class Asked:
    """What a model is asked: by a benchmark's name its questions, and prompts where we make them."""

    suite: Suite
    questions: Mapping[str, list[Any]]
    prompts: Mapping[str, list[str]]
    date: str


SAMPLES_SCHEMA = pa.schema(
    [
        ("benchmark", pa.string()),
        ("id", pa.string()),
        ("prompt", pa.string()),
        ("reply", pa.string()),
        ("correct", pa.bool_()),
        ("score", pa.float64()),
        ("reason", pa.string()),
    ]
)


def run(config: EvaluateConfig, inputs: Inputs, outputs: Mapping[str, Path], workspace: Workspace) -> Results:
    """Measure the model on every benchmark of the suite.

    Finished benchmarks, and the replies to an unfinished one, are partial results of the run, from which the next
    attempt continues.

    Raises:
        InputError: an unusable suite, data that it names and that is not there, or a model that cannot be loaded.
    """
    checkpoint = open_checkpoint(inputs["model"].path)
    suite = load_suite(config.suite, inputs["data"])
    # All questions are read before the model, which takes longer, and before any of them is asked.
    with activity("read the questions"):
        check_tasks(suite.benchmarks)
        questions = {
            benchmark.name: _read_questions(benchmark, suite, inputs["data"].path) for benchmark in suite.benchmarks
        }
    tokenizer = load_tokenizer(inputs["model"].path)
    template = ChatTemplate(tokenizer, config.template_date)
    tell_readings(template)
    tell_unwritten_ends(checkpoint.path, tokenizer, template)
    prompts = {
        benchmark.name: _make_prompts(benchmark, questions[benchmark.name], template) for benchmark in suite.benchmarks
    }
    dtype = suite.dtype if config.dtype == "auto" else config.dtype
    model = load_weights(checkpoint, resolve_dtype(dtype))
    # lm-eval knows the model's own settings alone.
    model.generation_config.eos_token_id = stop_tokens(model, tokenizer)
    drop_searches_of_a_hub(model)
    partial_results = workspace.of_run()
    asked = Asked(suite, questions, prompts, config.template_date)
    measured = [
        (benchmark, _measure(benchmark, asked, model, tokenizer, partial_results)) for benchmark in suite.benchmarks
    ]
    _write_samples(outputs["evaluation"] / "samples.parquet", measured)
    results = {
        "suite": suite.name,
        "suite_sha256": suite.sha256,
        "model_digest": inputs["model"].digest,
        "dtype": str(resolve_dtype(dtype)).removeprefix("torch."),
        **({"template_date": config.template_date} if template.tells_date else {}),
        "benchmarks": [_describe(benchmark, measurement) for benchmark, measurement in measured],
    }
    text = json.dumps(results, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    (outputs["evaluation"] / "results.json").write_text(text, encoding="utf-8")
    return Results(metrics=_metrics(measured))


def _read_questions(benchmark: Benchmark, suite: Suite, data: Path) -> list[Any]:
    """BFCL entries or local multiple-choice documents; nothing for a task of lm-eval's own."""
    if isinstance(benchmark, FunctionCalling):
        return draw_entries(benchmark, data, suite.seeds.sample)
    if benchmark.questions is None:
        return []
    documents = _documents(benchmark.name, benchmark.questions, data, suite.seeds.sample)
    with quiet():
        check_definition(benchmark, documents)
        rehearse(benchmark, documents, suite.seeds)
    return documents


def _documents(name: str, local: Questions, data: Path, seed: int) -> list[dict[str, Any]]:
    try:
        pairs = read_pairs(data / local.path)
        return multiple_choice(pairs, samples=local.samples, distractors=local.distractors, seed=seed)
    except InputError as error:
        raise InputError(f"{name}, questions: {error}") from error


def _make_prompts(benchmark: Benchmark, questions: list[Any], template: ChatTemplate) -> list[str]:
    """The prompts of BFCL; those of lm-eval are its own, so that the template is tried on conversations like them.

    Raises:
        InputError: the template does not show all that a prompt says.
    """
    if isinstance(benchmark, FunctionCalling):
        return chat_prompts(benchmark, questions, template)
    if benchmark.apply_chat_template:
        try:
            template.prompt(_FEW_SHOT if benchmark.fewshot_as_multiturn else _FEW_SHOT[-1:])
        except MisfitError as error:
            raise InputError(
                f"{benchmark.name}: the model's chat template cannot show its questions: {error}; mend the template or "
                "evaluate another model"
            ) from error
    return []


def _measure(
    benchmark: Benchmark,
    asked: Asked,
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    partial_results: PartialResults,
) -> Measurement:
    earlier = read_measurement(partial_results, benchmark.name)
    if earlier:
        report(f"{benchmark.name}: was measured before the stage was interrupted")
        return earlier
    started = time.monotonic()
    kept = ReplyCache(partial_results, benchmark.name)
    questions = asked.questions[benchmark.name]
    with activity(benchmark.name):
        if isinstance(benchmark, LmEval):
            measurement = measure_task(benchmark, questions, asked.suite.seeds, model, tokenizer, kept, asked.date)
        else:
            prompts = asked.prompts[benchmark.name]
            measurement = measure_function_calling(benchmark, questions, prompts, model, tokenizer, kept)
    keep_measurement(partial_results, benchmark.name, measurement)
    seconds = time.monotonic() - started
    score, stderr = measurement.score.value, measurement.score.stderr
    spread = "" if stderr is None else f" +- {stderr:.3f}"
    count = len(measurement.samples)
    report(f"{benchmark.name}: {measurement.metric} {score:.3f}{spread} on {count} questions in {seconds:.1f} s")
    return measurement


def _write_samples(path: Path, measured: list[tuple[Benchmark, Measurement]]) -> None:
    rows = [
        {"benchmark": benchmark.name, "correct": sample.correct, **dataclasses.asdict(sample)}
        for benchmark, measurement in measured
        for sample in measurement.samples
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=SAMPLES_SCHEMA), path)


def _describe(benchmark: Benchmark, measurement: Measurement) -> dict[str, Any]:
    described = {
        "name": benchmark.name,
        "title": benchmark.title,
        "metric": measurement.metric,
        "samples": len(measurement.samples),
        "others": {name: dataclasses.asdict(score) for name, score in measurement.others.items()},
        **dataclasses.asdict(measurement.score),
    }
    if isinstance(benchmark, FunctionCalling):
        described["prompt_sha256"] = prompt_sha256(guidelines=benchmark.guidelines)
    return described


def _metrics(measured: list[tuple[Benchmark, Measurement]]) -> dict[str, float]:
    """The scores under flat names: `<benchmark>`, `<benchmark>_stderr`, `<benchmark>_<other metric>`, and `mean`."""
    metrics = {"mean": fmean(measurement.score.value for _, measurement in measured)}
    for benchmark, measurement in measured:
        metrics[benchmark.name] = measurement.score.value
        if measurement.score.stderr is not None:
            metrics[f"{benchmark.name}_stderr"] = measurement.score.stderr
        for name, score in measurement.others.items():
            # MLflow takes no comma in a name.
            metrics[f"{benchmark.name}_{name.replace(',', '_')}"] = score.value
    return metrics
