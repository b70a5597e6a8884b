"""What a stage is about to do, and on what, in a few short lines before anything is opened."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from storm_core.config import StageConfig
from storm_core.errors import InputError
from storm_core.manifest import MANIFEST_NAME, Manifest, read_manifest
from storm_core.stage import Stage

MOST_CHARACTERS = 150
_MOST_IN_PART = 100
_SHORT_DIGEST = 12
_UNITS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def introduce(name: str, stage: Stage, config: StageConfig, references: Mapping[str, Sequence[str]]) -> list[str]:
    """Lines that say which stage `name` is, the options that are not the defaults, and its inputs.

    An input whose manifest lies on this machine is told by kind, digest and size, another by what names it.
    """
    inputs = [f"{given}: {_describe_input(named)}" for given, named in references.items() if named]
    options = [f"{option}={value}" for option, value in differing_options(config).items()]
    return list(_lines(f"{name}: starts", [*options, *inputs]))


def differing_options(config: StageConfig) -> dict[str, str]:
    """The options that differ from the defaults, by name, as text."""
    values = {field: getattr(config, field.name) for field in dataclasses.fields(config)}
    return {field.name: option_text(value) for field, value in values.items() if value != field.default}


def option_text(value: Any) -> str:
    """An option's value as a person types it: a list with commas."""
    return ",".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def bytes_in_words(size: float) -> str:
    """1234567 as `1.2 MB`."""
    for unit, letters in _UNITS:
        if size >= unit:
            return f"{size / unit:.1f} {letters}"
    return f"{size:.0f} bytes"


def _describe_input(references: Sequence[str]) -> str:
    """One artifact in words; of several how many, and how large they are where that is known."""
    manifests = [manifest for reference in references if (manifest := _local_manifest(reference))]
    if len(references) == 1:
        return _describe_artifact(manifests[0]) if manifests else references[0]
    if len(manifests) < len(references):
        return f"{len(references)} artifacts, {references[0]} the first"
    return f"{len(references)} artifacts of kind {manifests[0].kind}, {bytes_in_words(sum(map(_size, manifests)))}"


def _describe_artifact(manifest: Manifest) -> str:
    return f"{manifest.kind or 'files'} {manifest.digest[:_SHORT_DIGEST]}, {bytes_in_words(_size(manifest))}"


def _size(manifest: Manifest) -> int:
    return sum(entry.size for entry in manifest.files)


def _local_manifest(reference: str) -> Manifest | None:
    """The manifest at a local path; what is wrong with it is said when the input is opened."""
    path = Path(reference)
    path = path if path.name == MANIFEST_NAME else path / MANIFEST_NAME
    try:
        return read_manifest(path) if "://" not in reference and path.is_file() else None
    except (InputError, OSError):
        return None


def _lines(start: str, parts: Sequence[str]) -> Iterator[str]:
    """The parts on as few lines as they fit on; each line begins with `start`."""
    line = start
    for part in parts:
        short = part if len(part) <= _MOST_IN_PART else f"{part[: _MOST_IN_PART - 1]}…"
        if line != start and len(line) + len(short) + 2 > MOST_CHARACTERS:
            yield line
            line = start
        line += f"  {short}"
    yield line
