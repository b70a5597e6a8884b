"""Checkpoints of an unfinished training as partial results: the files of every process, `complete` last.

`complete` lists the files of all processes. What a checkpoint is read from may be any number of processes.
"""

import json
import re
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from storm_core.errors import InputError
from storm_core.json_objects import ANYTHING, TEXT, Shape, check_shape, read_object
from storm_core.progress import report
from storm_core.stores.partial_results import PartialResults

COMPLETE = "complete"
_MARK: Shape = {"files": [TEXT], "state": ANYTHING}


class TrainingCheckpoints:
    """The checkpoints among `partial_results`; the newest is kept, and while it is written the one before it.

    Two attempts may run at once where the first has not died yet, and a GPU gives them different weights: each attempt
    marks its folders with a word of its own, so that nothing is put together from both.
    """

    def __init__(self, partial_results: PartialResults, name: str = "step", attempt: str | None = None) -> None:
        """`attempt` is the word of this attempt, where several processes make one together."""
        self._partial_results = partial_results
        self._name = name
        self._attempt = attempt or secrets.token_hex(4)
        self._part = re.compile(rf"(?P<folder>{name}-(?P<step>\d{{8}})-[0-9a-f]{{8}})/(?P<file>[^/]+)")

    def keep_files(self, directory: Path, step: int) -> list[str]:
        """Move what this process saved after `step` from `directory` to the partial results; returns the files' names.

        Files are moved one at a time: beside the model there need not be room for all of them twice.
        """
        names = sorted(file.name for file in directory.iterdir())
        for name in names:
            self._partial_results.keep(f"{self._folder(step)}/{name}", directory / name)
            (directory / name).unlink()
        directory.rmdir()
        return names

    def complete(self, step: int, files: Sequence[str], state: Any, scratch: Path) -> None:
        """Declare the checkpoint of `step` whole, with `files` of all processes and `state`."""
        folder = self._folder(step)
        mark = scratch / COMPLETE
        mark.write_text(json.dumps({"step": step, "files": sorted(files), "state": state}), encoding="utf-8")
        self._partial_results.keep(f"{folder}/{COMPLETE}", mark)
        mark.unlink()

    def find(self, scratch: Path, step: int | None = None) -> tuple[str, Any] | None:
        """The folder and the state of the newest checkpoint, or that of `step`, whose files are all there; or None.

        What cannot be used is dropped, with a line that says so.
        """
        folders = self._folders()
        for folder in sorted(folders, reverse=True):
            if step is not None and self._step(folder) != step:
                continue
            fault, content = self._check(folder, folders[folder], scratch)
            if fault is None:
                return folder, content["state"]
            self.refuse(folder, fault)
        return None

    def drop_before(self, step: int) -> None:
        """Drop what is older than the checkpoint of `step`, and what another attempt made of that step."""
        for folder in self._folders():
            mine = folder.endswith(self._attempt)
            if self._step(folder) < step or (self._step(folder) == step and not mine and self._has_own(step)):
                self._drop(folder)

    def fetch(self, folder: str, directory: Path) -> str | None:
        """Fetch the files of a checkpoint into `directory`; returns what is wrong with it, or None."""
        directory.mkdir()
        for name in sorted(self._folders().get(folder, set()) - {COMPLETE}):
            if not self._partial_results.fetch(f"{folder}/{name}", directory / name):
                shutil.rmtree(directory)
                return f"has no {name}, or an altered one"
        return None

    def refuse(self, folder: str, fault: str) -> None:
        """Drop a checkpoint that cannot be used, and say why."""
        report(f"train: the checkpoint of step {self._step(folder)} {fault}; it is ignored")
        self._drop(folder)

    def _check(self, folder: str, stored: set[str], scratch: Path) -> tuple[str | None, Any]:
        mark = scratch / COMPLETE
        if COMPLETE not in stored:
            return "was never finished", None
        if not self._partial_results.fetch(f"{folder}/{COMPLETE}", mark):
            return f"has an altered file {COMPLETE}", None
        try:
            content = read_object(mark)
            check_shape(content, _MARK, mark, "another version wrote it")
        except InputError:
            return f"has a file {COMPLETE} that this version does not read", None
        finally:
            mark.unlink()
        missing = sorted(set(content["files"]) - stored)
        return (f"has no {missing[0]}, or an altered one" if missing else None), content

    def _drop(self, folder: str) -> None:
        # The mark goes first: what is left of it then counts as never finished.
        others = sorted(self._folders().get(folder, set()) - {COMPLETE})
        for name in (COMPLETE, *others):
            self._partial_results.drop(f"{folder}/{name}")

    def _has_own(self, step: int) -> bool:
        return self._folder(step) in self._folders()

    def _step(self, folder: str) -> int:
        return int(folder.split("-")[1])

    def _folder(self, step: int) -> str:
        return f"{self._name}-{step:08d}-{self._attempt}"

    def _folders(self) -> dict[str, set[str]]:
        """The files of each checkpoint, whole or not, by folder."""
        folders: dict[str, set[str]] = {}
        for part in self._partial_results.names():
            if found := self._part.fullmatch(part):
                folders.setdefault(found["folder"], set()).add(found["file"])
        return folders
