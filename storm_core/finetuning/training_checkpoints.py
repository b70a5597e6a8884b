"""Checkpoints of an unfinished training as partial results: what the trainer saved, file by file, `complete` last."""

import re
import secrets
import shutil
from pathlib import Path

from storm_core.progress import report
from storm_core.stores.partial_results import PartialResults

WEIGHTS_FILE = "model.safetensors"
# The trainer's own names. What it finds no file for it quietly starts afresh, so a checkpoint has all or is none.
FILES = (WEIGHTS_FILE, "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json")
_COMPLETE = "complete"
_PART = re.compile(r"(?P<folder>step-(?P<step>\d{8})-[0-9a-f]{8})/(?P<file>[^/]+)")


class TrainingCheckpoints:
    """The checkpoints among `partial_results`; the newest is kept, and while it is written the one before it.

    Two attempts may run at once where the first has not died yet, and a GPU gives them different weights: each attempt
    marks its folders with a word of its own, so that nothing is put together from both.
    """

    def __init__(self, partial_results: PartialResults) -> None:
        self._partial_results = partial_results
        self._attempt = secrets.token_hex(4)

    def keep(self, directory: Path, step: int) -> None:
        """Move what the trainer saved after `step` from `directory` to the partial results; drop older checkpoints.

        Files are moved one at a time: beside the model there need not be room for all of them twice.
        """
        folder = f"step-{step:08d}-{self._attempt}"
        for name in FILES:
            self._partial_results.keep(f"{folder}/{name}", directory / name)
            (directory / name).unlink()
        mark = directory / _COMPLETE
        mark.write_text(f"{step}\n", encoding="utf-8")
        self._partial_results.keep(f"{folder}/{_COMPLETE}", mark)
        shutil.rmtree(directory)
        self._drop_older(folder)

    def restore(self, directory: Path) -> int | None:
        """Fetch the newest usable checkpoint into `directory`; returns its step, or None where there is none.

        What is newer and cannot be used is dropped, with a line that says so; what is older, without one.
        """
        folders = self._folders()
        for folder in sorted(folders, reverse=True):
            step = int(folder.split("-")[1])
            fault = self._fetch(folder, folders[folder], directory)
            if fault is None:
                self._drop_older(folder)
                return step
            report(f"train: the checkpoint of step {step} {fault}; it is ignored")
            self._drop(folder)
        return None

    def _fetch(self, folder: str, stored: set[str], directory: Path) -> str | None:
        """Fetch one checkpoint; returns what is wrong with it, or None."""
        if _COMPLETE not in stored:
            return "was never finished"
        directory.mkdir()
        for name in FILES:
            if not self._partial_results.fetch(f"{folder}/{name}", directory / name):
                shutil.rmtree(directory)
                return f"has no {name}, or an altered one"
        return None

    def _drop_older(self, kept: str) -> None:
        for folder in self._folders():
            if folder < kept:
                self._drop(folder)

    def _drop(self, folder: str) -> None:
        # The mark goes first: what is left of it then counts as never finished.
        for name in (_COMPLETE, *FILES):
            self._partial_results.drop(f"{folder}/{name}")

    def _folders(self) -> dict[str, set[str]]:
        """The files of each checkpoint, whole or not, by folder."""
        folders: dict[str, set[str]] = {}
        for part in self._partial_results.names():
            if found := _PART.fullmatch(part):
                folders.setdefault(found["folder"], set()).add(found["file"])
        return folders
