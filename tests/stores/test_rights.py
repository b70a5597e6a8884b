"""Every verb of a store where one right of S3 is denied; the table in docs/store.md is made of this."""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.s3_server import S3Server
from storm_core.stores.references import open_store
from storm_core.stores.uploads import PART_BYTES
from tests.stores.conftest import S3Place, Storm, make, write_tree
from tests.stores.fault_proxy import FaultProxy
from tests.stores.s3_policy import RIGHTS, Policy
from tests.stores.verbs import VERBS, Scene
from tests.verdicts.conftest import make_verdict  # noqa: F401 (a fixture)

DOCUMENT = Path(__file__).parents[2] / "docs/store.md"
WRITES = os.environ.get("STORM_WRITE_TABLE") == "1"
NEEDED, USED, NOT_ASKED = "needed", "used", ""

MakeScene = Callable[[str], Scene]


@pytest.fixture
def scene_of(
    place: S3Place,
    storm: Storm,
    evaluations: Callable[..., Any],
    make_verdict: Any,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> MakeScene:
    """Makes a store of its own below the test's, and its scene; everything is still allowed."""
    tree = write_tree(tmp_path / "tree", {"config.json": 700, "empty": 0})
    big = write_tree(tmp_path / "big", {"model.safetensors": PART_BYTES + 1})
    verdicts = [make_verdict(id, (0.2, 0.8)) for id in ("a", "b")]

    def build(name: str) -> Scene:
        here = replace(place, uri=f"{place.uri}/{name}", prefix=f"{place.prefix}/{name}")
        monkeypatch.setenv("STORM_STORE", here.uri)
        monkeypatch.setenv("STORM_CACHE", str(tmp_path / "caches" / name))
        out = tmp_path / "out" / name
        out.mkdir(parents=True)
        inputs, uri = evaluations(), make(here.uri, "model", b"some bytes")
        monkeypatch.setenv("STORM_CACHE", str(tmp_path / "caches" / f"{name}-of-another"))
        return Scene(
            place=here,
            storm=storm,
            evaluations=inputs,
            uri=uri,
            tree=tree,
            big=big,
            out=out,
            verdicts=verdicts,
        )

    return build


@pytest.mark.parametrize("verb", VERBS)
def test_verb_does_without_a_right_or_names_it(
    verb: str, scene_of: MakeScene, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(right: str) -> tuple[Scene, Policy, str]:
        scene, policy = scene_of(right.removeprefix("s3:")), Policy(denied=[right])
        with FaultProxy(s3_server.endpoint) as proxy:
            monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.endpoint)
            policy.stand_before(proxy)
            said = VERBS[verb](scene)
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_server.endpoint)
        return scene, policy, said

    _, everything, said = run("none")
    assert said == ""
    row = [_outcome(*run(right), right) if right in everything.asked else NOT_ASKED for right in RIGHTS]
    assert row == _documented(verb, row), "docs/store.md says otherwise; STORM_WRITE_TABLE=1 writes it"


def _outcome(scene: Scene, policy: Policy, said: str, right: str) -> str:
    """What became of the verb without the right; whoever has it finds nothing there in part."""
    assert right in policy.asked
    assert scene.command("verify") == ""
    if not said:
        return USED
    assert right in said and scene.place.uri in said and "AWS_ACCESS_KEY_ID" not in said
    return NEEDED


def _documented(verb: str, row: list[str]) -> list[str]:
    """The verb's row of the table, which is written before where that is asked for."""
    lines = DOCUMENT.read_text(encoding="utf-8").splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith(f"| {verb} |"))
    if WRITES:
        lines[at] = f"| {' | '.join([verb, *row])} |"
        DOCUMENT.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return [cell.strip() for cell in lines[at].strip("|").split("|")[1:]]


def test_the_table_has_a_column_for_each_right_and_a_row_for_each_verb() -> None:
    text = DOCUMENT.read_text(encoding="utf-8").partition("<!-- rights -->\n")[2].partition("<!-- end of rights -->")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    assert [cell.strip("`") for cell in rows[0][1:]] == [right.removeprefix("s3:") for right in RIGHTS]
    assert [row[0] for row in rows[2:]] == list(VERBS)


@pytest.mark.parametrize("terse", [True, False])
def test_what_is_missing_is_not_taken_for_a_wrong_key_where_it_may_not_be_listed(
    terse: bool, scene_of: MakeScene, proxy: FaultProxy
) -> None:
    scene = scene_of("missing")
    Policy(denied=["s3:ListBucket"], terse=terse).stand_before(proxy)
    said = scene.command("show", f"{scene.place.uri}/model/{'0' * 64}")
    assert "(GetObject: AccessDenied" in said and "s3:ListBucket to be told" in said
    assert ("there is no such object, which" in said) != terse
    assert "AWS_ACCESS_KEY_ID" not in said


def test_what_stays_is_said_once_and_the_newest_of_what_was_kept_counts(
    scene_of: MakeScene, proxy: FaultProxy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scene = scene_of("kept")
    Policy(denied=["s3:DeleteObject"]).stand_before(proxy)
    parts = open_store(scene.place.uri).partial_results("run")
    for content in ("first", "second"):
        (tmp_path / "part").write_text(content)
        parts.keep("part", tmp_path / "part")
        time.sleep(1.1)  # S3 tells the time by the second.
    assert parts.fetch("part", tmp_path / "fetched")
    assert (tmp_path / "fetched").read_text() == "second"
    parts.clear()
    assert capsys.readouterr().err.count("for `storm artifact gc` of a user who may") == 1
