"""A plan in lines for a person: each task, and what the GPUs will take where the profile has it measured."""

from collections.abc import Callable, Iterator, Sequence

from pipelines.profiles.fields import Profile, TaskProfile
from pipelines.submission.plan import REUSED, PlannedTask
from storm_core.cluster.nodes import VERBS as ON_NODES

_UNITS = ("B", "kB", "MB", "GB", "TB")
_HEADINGS = ("task", "work", "image", "asks for", "reads", "wrote")


def plan_lines(tasks: Sequence[PlannedTask], profile: Profile, image_of: Callable[[str], str]) -> list[str]:
    """The plan as a table, and below it what it comes to."""
    table = aligned([_HEADINGS, *(_row(task, profile, image_of) for task in tasks)])
    return [*table, *_sums(tasks, profile)]


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows as lines, with columns as wide as what stands in them."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _row(task: PlannedTask, profile: Profile, image_of: Callable[[str], str]) -> tuple[str, ...]:
    asked = profile.task(task.verb)
    is_reused = task.work == REUSED
    reads = "" if is_reused else size(task.read_bytes)
    return (task.name, task.work, _short(image_of(task.verb)), _asks_for(asked), reads, _wrote(task))


def _wrote(task: PlannedTask) -> str:
    return size(task.written_bytes) if task.work == REUSED else ""


def _asks_for(asked: TaskProfile) -> str:
    devices = f"{asked.accelerator.count} {asked.accelerator.resource}" if asked.accelerator else None
    cpu = f"{asked.cpu_request} CPU" if asked.cpu_request else None
    return ", ".join(filter(None, (cpu, asked.memory_request, devices))) or "nothing"


def _short(image: str) -> str:
    """The image's name without registry, and of a digest its start."""
    name, _, digest = image.rpartition("/")[2].partition("@sha256:")
    return f"{name}@{digest[:12]}" if digest else name


def _sums(tasks: Sequence[PlannedTask], profile: Profile) -> Iterator[str]:
    computed = [task for task in tasks if task.work != REUSED]
    yield f"{len(computed)} of {len(tasks)} tasks are computed, the others answered by the store"
    yield (
        "worked out with the packages of this machine: an image that holds others computes anew. What follows a task "
        "that is computed may be reused all the same, if that leaves what an earlier run did"
    )
    on_devices = [task for task in computed if _devices(task.verb, profile)]
    if not on_devices:
        yield "GPU-hours: none"
        return
    unknown = sorted({task.verb for task in on_devices if profile.task(task.verb).measured_hours is None})
    if unknown:
        yield f"GPU-hours: not known, the profile has no measured_hours of {', '.join(unknown)}"
        return
    hours = sum(measured_gpu_hours(task.verb, profile) for task in on_devices)
    yield f"GPU-hours: {hours:.1f}, by the profile's measured_hours"
    price = profile.price_per_gpu_hour
    yield f"price: {hours * price:.2f}" if price else "price: not known, the profile has no price_per_gpu_hour"


def measured_gpu_hours(verb: str, profile: Profile) -> float:
    """Of one task, by the profile's `measured_hours`; 0 where there is none."""
    return (profile.task(verb).measured_hours or 0) * _devices(verb, profile)


def _devices(verb: str, profile: Profile) -> int:
    """How many compute for one task: its own, or those of all the nodes that it trains on."""
    nodes = profile.training_nodes if verb in ON_NODES else None
    accelerator = nodes.accelerator if nodes else profile.task(verb).accelerator
    return accelerator.count * (nodes.count if nodes else 1) if accelerator else 0


def size(count: int | None) -> str:
    """Bytes in words."""
    if count is None:
        return "not known yet"
    value, unit = float(count), 0
    while value >= 1000 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.0f} {_UNITS[unit]}" if value >= 10 or not unit else f"{value:.1f} {_UNITS[unit]}"
