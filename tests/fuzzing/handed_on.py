"""What stages hand to each other, of which one file is changed; without the manifest, which would tell that it was."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from random import Random

from storm_core.artifacts import Artifact, open_directory
from storm_core.manifest import MANIFEST_NAME
from storm_core.stage import Inputs
from tests.fuzzing.mutations import mutate_bytes, mutate_json
from tests.reporting.conftest import make_inputs


@dataclass(frozen=True)
class Run:
    """The artifacts of a run, by input of the stage that reads them."""

    directories: Mapping[str, Sequence[Path]]

    @cached_property
    def opened(self) -> Mapping[str, list[Artifact]]:
        """They as they are."""
        return {name: [open_directory(path) for path in paths] for name, paths in self.directories.items()}


@dataclass(frozen=True, kw_only=True)
class ChangedFile:
    """A run of which one file has another content."""

    run: Run
    input: str
    name: str
    content: bytes

    def inputs(self, place: Path) -> Inputs:
        """The artifacts, one of them with the change, which is written to `place`."""
        source, *others = self.run.directories[self.input]
        for file in source.iterdir():
            if file.name not in (self.name, MANIFEST_NAME):
                (place / file.name).symlink_to(file)
        (place / self.name).write_bytes(self.content)
        kept = self.run.opened[self.input][1:]
        assert len(kept) == len(others)
        return Inputs({**self.run.opened, self.input: [open_directory(place), *kept]})


def run_of(directory: Path) -> Run:
    """The artifacts that `report` reads."""
    made = make_inputs(directory / "run")
    return Run({name: [Path(path) for path in paths] for name, paths in made.items()})


def files_of(run: Run, names: Mapping[str, Sequence[str]]) -> Sequence[ChangedFile]:
    """These files of the run, unchanged; names are by input."""
    return [
        ChangedFile(run=run, input=given, name=name, content=(run.directories[given][0] / name).read_bytes())
        for given, listed in names.items()
        for name in listed
    ]


def mutate_file(file: ChangedFile, chance: Random) -> ChangedFile:
    """Another change in the same file."""
    mutate = mutate_json if file.name.endswith(".json") else mutate_bytes
    return replace(file, content=mutate(file.content, chance))
