"""`python -m pipelines estimate`: a recipe's needs stage by stage, and apart from them what was measured."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from components.signatures import REQUIRED
from pipelines.arguments import run_arguments
from pipelines.estimation.assumptions import Assumptions, Estimated
from pipelines.estimation.base_model import base_shapes
from pipelines.estimation.speed import training_tokens_per_second
from pipelines.estimation.stages import Needs, libraries_of_training, needs_of
from pipelines.estimation.training import host_of_process, shares
from pipelines.profiles.fields import Profile
from pipelines.recipes import load_recipe
from pipelines.submission.estimate import aligned, measured_gpu_hours, size
from pipelines.submission.plan import plan
from pipelines.submission.references import KINDS
from storm_core.manifest import Manifest
from storm_core.spectrum.expected import expected_trained
from storm_core.stages import STAGES

NOT_MEASURED = "not measured"
_NOT_KNOWN = "not known"
_ESTIMATES = ("stage", "tasks", "device memory", "host memory", "disk", "checkpoint", "all GPU-hours")
_MEASUREMENTS = ("stage", "hours a task", "all GPU-hours")


def estimate_lines(recipe: Path, profile: Profile, assumptions: Assumptions) -> list[str]:
    """The estimate for a person: two tables, of estimates and of measurements, and what was assumed.

    Raises:
        InputError: see `look_at`.
        StoreError: see `look_at`.
    """
    run = look_at(recipe, profile, assumptions)
    tasks = _tasks(run.values)
    return [
        f"Estimated by arithmetic, for one task of each stage; {run.count / 1e9:.2f}e9 parameters, "
        f"{run.trained_count / 1e9:.2f}e9 trained",
        *aligned([_ESTIMATES, *(_estimate(verb, tasks[verb], needs_of(verb, run)) for verb in STAGES)]),
        *_assumed(run),
        "",
        "Measured, as the profile's measured_hours say",
        *aligned([_MEASUREMENTS, *(_measurement(verb, tasks[verb], profile) for verb in STAGES)]),
    ]


def look_at(recipe: Path, profile: Profile, assumptions: Assumptions) -> Estimated:
    """The run of a recipe, with all that its base model's config.json tells.

    Raises:
        InputError: the recipe cannot work, an assumption is out of range, or the base model's config cannot be read.
        StoreError: the store that holds the base model cannot be used.
    """
    assumptions.check()
    values = _all_values(load_recipe(recipe))
    shapes = base_shapes(values["base_model"])
    return Estimated(
        values=values,
        profile=profile,
        shapes=shapes,
        parameters={name: math.prod(shape) for name, shape in shapes.parameters().items()},
        trained=expected_trained(shapes, values["scan_unfrozen_percent"]),
        assumptions=assumptions,
    )


def _all_values(recipe: Mapping[str, Any]) -> dict[str, Any]:
    defaults = {name: one.default for name, one in run_arguments().items() if one.default is not REQUIRED}
    return {**defaults, **recipe}


def _tasks(values: Mapping[str, Any]) -> Counter[str]:
    """How many tasks of each verb the run has; what its references hold does not matter to that."""
    nothing = Manifest(kind="", files=(), digest="")
    known = {values[name]: nothing for name in KINDS if values[name]}
    return Counter(task.verb for task in plan(values, None, known))


def _estimate(verb: str, tasks: int, needs: Needs) -> tuple[str, ...]:
    sizes = (needs.device, needs.host, needs.disk, needs.checkpoint)
    hours = _NOT_KNOWN if needs.gpu_hours is None else f"{needs.gpu_hours:.0f}" if needs.gpu_hours else "none"
    return (verb, str(tasks), *(_bytes(one) for one in sizes), hours)


def _bytes(count: int | None) -> str:
    return _NOT_KNOWN if count is None else size(count) if count else "none"


def _measurement(verb: str, tasks: int, profile: Profile) -> tuple[str, ...]:
    hours = profile.task(verb).measured_hours
    if hours is None:
        return (verb, NOT_MEASURED, NOT_MEASURED)
    return (verb, f"{hours:g}", f"{tasks * measured_gpu_hours(verb, profile):.1f}")


def _assumed(run: Estimated) -> Iterator[str]:
    """What the table rests on, and what would make known what it does not know."""
    yield "Assumed: models stored in bfloat16; batches of the longest examples; a GPU for a task, in train a process"
    if run.processes > 1:
        yield _processes(run)
    if not run.has_gpu("train"):
        return
    speed = training_tokens_per_second(run)
    if speed is not None:
        yield (
            f"Assumed: {speed:.0f} tokens/s a GPU in train, an MFU of {run.assumptions.mfu:g}, in score too, over "
            f"{(run.peak('train') or 0) / 1e12:.1f} TFLOP/s, with {run.assumptions.tokens_per_example} tokens an "
            "example; FLOPs of causal attention, none for gradients of frozen weights"
        )
    if missing := _missing(run):
        yield f"GPU-hours want {missing}"


def _processes(run: Estimated) -> str:
    held = f"{size(host_of_process(run, libraries_of_training(run)))} of host memory"
    if device := needs_of("train", run).device:
        held = f"{size(device)} of device memory and {held}"
    spread = "a share of each weight" if shares(run) > 1 else "a copy of the model"
    return (
        f"train: {run.training_pods} x {run.processes_of_pod} processes, each with {spread} "
        f"(train_sharding={run.values['train_sharding']}): {held}; the table has the host memory of "
        f"{'a node' if run.profile.training_nodes else 'the pod'}"
    )


def _missing(run: Estimated) -> str:
    wanted: Sequence[tuple[str, object]] = (
        ("--tokens-per-example", run.assumptions.tokens_per_example),
        ("--rows", run.assumptions.rows),
        ("--train-examples", run.assumptions.train_examples),
        ("a profile whose gpu_products of train are GPUs of known peak", run.peak("train")),
    )
    return ", ".join(name for name, value in wanted if value is None)
