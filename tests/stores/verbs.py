"""What is done with a store, verb by verb, each told as what is said where it fails."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from storm_core.errors import InputError, StoreError
from storm_core.execution import execute
from storm_core.finetuning.training_checkpoints import TrainingCheckpoints
from storm_core.promotion.config import GATE, GateConfig
from storm_core.stores.references import open_reference, open_store
from storm_core.stores.uploads import PART_BYTES
from storm_core.verdicts.cache import VerdictCache
from storm_core.verdicts.schema import Verdict
from tests.stores.conftest import S3Place, Storm
from tests.stores.crashing import digest_of


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A store with an artifact in it, `uri`; `tree` is another, `big` one of two parts; `out` is empty."""

    place: S3Place
    storm: Storm
    evaluations: dict[str, list[str]]
    uri: str
    tree: Path
    big: Path
    out: Path
    verdicts: Sequence[Verdict]

    def command(self, *arguments: str) -> str:
        """What `storm artifact` says where it fails; else nothing."""
        code, out, errors = self.storm(*arguments)
        assert "Traceback" not in errors
        # A failed removal is in the answer, line by line.
        return "" if code == 0 else "\n".join([*(line for line in out.splitlines() if "failed" in line), errors])

    def leave_garbage(self) -> None:
        """What a killed run leaves, besides: a partial result."""
        self.begin_upload()
        key = f"{self.place.prefix}/.parts/run/part.{'0' * 64}"
        self.place.client.put_object(Bucket=self.place.bucket, Key=key, Body=b"part")

    def begin_upload(self) -> None:
        """What a killed process leaves: an upload of which one part was sent."""
        key = f"{self.place.prefix}/model/{digest_of(self.big)}/model.safetensors"
        begun = self.place.client.create_multipart_upload(Bucket=self.place.bucket, Key=key)
        part = (self.big / "model.safetensors").read_bytes()[:PART_BYTES]
        where = {"Bucket": self.place.bucket, "Key": key, "UploadId": begun["UploadId"]}
        self.place.client.upload_part(**where, PartNumber=1, Body=part)


def push(scene: Scene) -> str:
    return scene.command("push", str(scene.tree), "--kind", "model")


def push_big(scene: Scene) -> str:
    return scene.command("push", str(scene.big), "--kind", "model")


def push_big_after_a_kill(scene: Scene) -> str:
    scene.begin_upload()
    return push_big(scene)


def pull(scene: Scene) -> str:
    return scene.command("pull", scene.uri, str(scene.out / "pulled"))


def open_one(scene: Scene) -> str:
    return _said(lambda: open_reference(scene.uri))


def ls(scene: Scene) -> str:
    return scene.command("ls")


def show(scene: Scene) -> str:
    return scene.command("show", scene.uri)


def verify_one(scene: Scene) -> str:
    return scene.command("verify", scene.uri)


def verify(scene: Scene) -> str:
    return scene.command("verify")


def remove_damaged(scene: Scene) -> str:
    scene.place.write(f"{scene.place.key_of(scene.uri)}/a.bin", b"other")
    said = scene.command("verify", scene.uri, "--remove-damaged")
    # What is damaged is told by the exit code, too.
    return "" if "removed the manifest" in said else said


def gc(scene: Scene) -> str:
    scene.leave_garbage()
    return scene.command("gc", "--keep-days", "0")


def gc_delete(scene: Scene) -> str:
    scene.leave_garbage()
    return scene.command("gc", "--keep-days", "0", "--delete")


def stage(scene: Scene) -> str:
    # The second finds the result of the first, and its lease.
    for name in ("decision", "again"):
        outputs = {"decision": scene.out / name}
        run = partial(execute, GATE, GateConfig(), inputs=scene.evaluations, outputs=outputs, value_files={})
        if said := _said(run):
            return said
    return ""


def verdicts(scene: Scene) -> str:
    return _said(lambda: _keep_verdicts(scene.verdicts, scene.out))


def _keep_verdicts(made: Sequence[Verdict], out: Path) -> None:
    parts = open_store(os.environ["STORM_STORE"]).partial_results("judge")
    for number, verdict in enumerate(made):
        scratch = out / f"verdicts-{number}"
        scratch.mkdir()
        with VerdictCache(parts, scratch, run_key="run", keep_seconds=300.0) as cache:
            cache.add([verdict])
            if number:
                cache.finish()


def checkpoints(scene: Scene) -> str:
    return _said(lambda: _keep_checkpoints(scene.out))


def _keep_checkpoints(out: Path) -> None:
    parts = open_store(os.environ["STORM_STORE"]).partial_results("run")
    kept = TrainingCheckpoints(parts)
    for step in (1, 2):
        directory = out / f"step-{step}"
        directory.mkdir()
        (directory / "weights").write_text(str(step))
        kept.complete(step, kept.keep_files(directory, step), {"step": step}, out)
        kept.drop_before(step)
    found = kept.find(out)
    assert found and found[1] == {"step": 2}
    parts.clear()


def _said(action: Callable[[], Any]) -> str:
    try:
        action()
    except (InputError, StoreError) as error:
        return str(error)
    return ""


VERBS: dict[str, Callable[[Scene], str]] = {
    "`push`": push,
    "`push` of a file over 8 MiB": push_big,
    "`push` after a kill": push_big_after_a_kill,
    "`pull`": pull,
    "a stage's input": open_one,
    "`show`, `lineage`": show,
    "`ls`": ls,
    "`verify` of one": verify_one,
    "`verify`": verify,
    "`verify --remove-damaged`": remove_damaged,
    "`gc`": gc,
    "`gc --delete`": gc_delete,
    "a stage": stage,
    "what `score`, `evaluate` keep": verdicts,
    "what `train` keeps": checkpoints,
}
