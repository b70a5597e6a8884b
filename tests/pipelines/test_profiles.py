"""Profiles: how one is read, and how a wrong one is refused, with the field's path, before anything is written."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kfp import dsl

from components.stage_component import component
from pipelines.__main__ import main
from pipelines.profiles.applying import ask_for
from pipelines.profiles.checks import ACCELERATED, check
from pipelines.profiles.fields import Profile, TaskProfile
from pipelines.profiles.loading import DEFAULT, load_profile, shipped
from pipelines.profiles.quantities import bytes_of, processors
from storm_core.errors import InputError
from storm_core.stages import STAGES

ROOT = Path(__file__).parents[2]
EVERYTHING = Path(__file__).with_name("everything.yaml")
TASK_FIELDS = [field.name for field in dataclasses.fields(TaskProfile)]


def refused(tmp_path: Path, text: str) -> str:
    """Why the profile of this text is refused, in one line."""
    path = tmp_path / "wrong.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as error:
        check(load_profile(str(path)))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_shipped_profiles_pass_their_own_check() -> None:
    assert shipped() == ["h100-node", "laptop-kind", "one-gpu"]
    for name in shipped():
        check(load_profile(name))


@pytest.mark.parametrize("name", ["laptop-kind", "one-gpu", "h100-node"])
def test_shipped_profile_asks_for_processors_and_memory_for_every_task(name: str) -> None:
    profile = load_profile(name)
    assert set(profile.tasks) == set(STAGES)
    for verb in STAGES:
        task = profile.task(verb)
        assert task.cpu_request and task.cpu_limit and task.memory_request, verb
        assert 0 < processors(task.cpu_request) <= processors(task.cpu_limit)
        assert bytes_of(task.memory_request) >= bytes_of("512Mi")
        assert (task.accelerator is not None) == (verb in ACCELERATED and name != DEFAULT), verb


def test_profile_with_every_field_is_read_whole() -> None:
    profile = load_profile(str(EVERYTHING))
    check(profile)
    given = yaml.safe_load(EVERYTHING.read_text())
    assert set(given) == {field.name for field in dataclasses.fields(Profile)}
    named = set(given["default"]) | {name for task in given["tasks"].values() for name in task}
    assert named == set(TASK_FIELDS)


def test_mappings_and_lists_of_a_verb_add_to_the_default_and_values_replace_it() -> None:
    task = load_profile(str(EVERYTHING)).task("train")
    assert task.node_selector == {"pool": "batch", "disk": "nvme"}
    assert [one.key for one in task.tolerations] == ["batch", "nvidia.com/gpu"]
    assert task.labels["cost-centre"] == "training"
    assert task.labels["kueue.x-k8s.io/queue-name"] == "team"
    assert (task.memory_request, task.memory_limit, task.retries) == ("1Gi", "64Gi", 3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("defaults: {}", "defaults is unknown; did you mean default?"),
        ("default: {nodeSelector: {}}", "default.nodeSelector is unknown; did you mean node_selector?"),
        ("tasks: {trian: {}}", "tasks.trian is unknown; did you mean train?"),
        ("tasks: {train: {colour: blue}}", "tasks.train.colour is unknown; there are image, cpu_request"),
        ("default: {1: 2}", "default.1 is unknown"),
        (
            "default: {priorityClassName: high}",
            "default.priorityClassName is not offered: KFP has no field for a pod's",
        ),
        ("default: {ephemeral_storage_request: 5Gi}", "is not offered: KFP has no field for requests of ephemeral"),
        ("tasks: []", "tasks must be a mapping of verbs to a task's fields; got []"),
        ("tasks: {train: null}", "tasks.train must be a mapping with fields of image"),
        ("tasks: {train: {cpu_request: many}}", "tasks.train.cpu_request must be a number of processors"),
        ("tasks: {train: {cpu_request: 0}}", "tasks.train.cpu_request must be"),
        ("tasks: {train: {cpu_request: 0.0005}}", "tasks.train.cpu_request must be"),
        ("tasks: {train: {cpu_request: true}}", "tasks.train.cpu_request must be"),
        ("tasks: {train: {memory_request: 8}}", "tasks.train.memory_request must be a whole number with a unit"),
        ("tasks: {train: {memory_request: 1.5Gi}}", "tasks.train.memory_request must be"),
        ("tasks: {train: {memory_request: 8GB}}", "got '8GB'"),
        ("default: {memory_request: 512K}", "default.memory_request must be"),
        ("default: {cpu_request: 4}\ntasks: {scan: {cpu_limit: 2}}", "default.cpu_request must be at most cpu_limit"),
        ("tasks: {scan: {memory_limit: 1Gi, memory_request: 2G}}", "tasks.scan.memory_request must be at most"),
        ("tasks: {score: {memory_limit: 1Gi, shared_memory: 2Gi}}", "tasks.score.shared_memory must be at most"),
        ("default: {image: rocm}", "default.image must be cpu or cuda; got 'rocm'"),
        ("tasks: {train: {accelerator: nvidia.com/gpu}}", "tasks.train.accelerator must be one resource"),
        ("tasks: {train: {accelerator: {gpu: 1}}}", "the key of tasks.train.accelerator must be a resource's name"),
        (
            "tasks: {train: {accelerator: {nvidia.com/gpu: 0}}}",
            "tasks.train.accelerator.nvidia.com/gpu must be a whole",
        ),
        ("tasks: {train: {accelerator: {nvidia.com/gpu: 1}}}", "tasks.train.accelerator must come with image: cuda"),
        ("tasks: {merge: {image: cuda, accelerator: {nvidia.com/gpu: 1}}}", "is of no use to merge; only score, audit"),
        ("tasks: {train: {gpu_products: [NVIDIA-H100]}}", "tasks.train.gpu_products must come with accelerator"),
        ("default: {node_selector: {pool: true}}", "default.node_selector.pool must be a string of at most 63"),
        ("default: {node_selector: {'a b': c}}", "a key of default.node_selector must be a label's key"),
        ("default: {tolerations: [{operator: Equal}]}", "default.tolerations[0].operator must be Exists where key"),
        (
            "default: {tolerations: [{key: a, effect: Never}]}",
            "default.tolerations[0].effect must be one of NoSchedule",
        ),
        ("default: {tolerations: [{key: a, seconds: 3}]}", "default.tolerations[0].seconds is for effect NoExecute"),
        ("default: {tolerations: [{key: a, operator: Exists, value: b}]}", "default.tolerations[0].value must be left"),
        ("default: {scratch_class: fast}", "default.scratch_class is the class of a volume whose size scratch"),
        ("default: {retries: 2}", "default.retries must come with timeout_hours"),
        ("default: {retries: -1}", "default.retries must be a whole number from 0 to 10; got -1"),
        ("default: {timeout_hours: .nan}", "default.timeout_hours must be a number above 0"),
        ("default: {environment: {A: 1}}", "default.environment.A must be a string; quote it; got 1"),
        ("default: {environment: {1A: b}}", "a key of default.environment must be the name of a variable"),
        ("default: {environment: {A: '{{b}}'}}", "default.environment.A must be a string without {{"),
        ("default: {environment: {STORM_STORE: s3://b}}", "default.environment must leave STORM_STORE to store"),
        ("default: {scratch: 1Gi, environment: {TMPDIR: /x}}", "default.environment must leave TMPDIR to scratch"),
        (
            "default: {environment: {HF_TOKEN: abc}}",
            "must not hold HF_TOKEN, which is a secret: name one under secrets",
        ),
        ("secrets: {s3: a}\ndefault: {environment: {AWS_REGION: b}}", "must leave AWS_REGION to secrets.s3"),
        (
            "default: {environment: {A: b}, environment_from: [{secret: s, keys: [A]}]}",
            "default.environment_from must leave A to environment",
        ),
        ("default: {environment_from: [{keys: [A]}]}", "default.environment_from[0] must name either a secret or a"),
        (
            "default: {environment_from: [{secret: s}]}",
            "default.environment_from[0].keys is missing; it must be a list",
        ),
        ("default: {environment_from: [{secret: s, keys: {a: 1b}}]}", "default.environment_from[0].keys must be the"),
        (
            "default: {files_from: [{secret: s.t, path: /c}]}",
            "default.files_from[0].secret must be the name of a secret",
        ),
        ("default: {files_from: [{secret: s, path: /usr}]}", "default.files_from[0].path must be an absolute path for"),
        ("default: {files_from: [{secret: s, path: /a/../b}]}", "default.files_from[0].path must be"),
        ("default: {files_from: [{secret: s, path: /tmp/b}]}", "default.files_from[0].path must be"),
        ("default: {files_from: [{secret: scratch, path: /c}]}", "default.files_from names scratch twice, or a volume"),
        (
            "default: {files_from: [{secret: s, path: /c}]}\ntasks: {scan: {files_from: [{config_map: s, path: /d}]}}",
            "tasks.scan.files_from names s twice",
        ),
        (
            "default: {files_from: [{secret: s, path: /c}, {secret: t, path: /c}]}",
            "default.files_from mounts two sources at /c",
        ),
        ("default: {labels: {pipeline/runid: mine}}", "a key of default.labels must be a key such as team"),
        ("default: {labels: {team: 'a b'}}", "default.labels.team must be a string of at most 63"),
        ("secrets: {s4: a}", "secrets.s4 is unknown; there are s3, hub, judge"),
        ("secrets: {s3: A}", "secrets.s3 must be a valid Kubernetes name"),
        ("secrets: {s3: a}\ncredentials: service-account", "credentials is service-account, and secrets.s3 is given"),
        ("credentials: irsa", "credentials must be service-account; got 'irsa'"),
        ("registry: https://ghcr.io", "registry must be a registry's host and path"),
        ("image_pull_secrets: login", "image_pull_secrets must be a list of names of secrets"),
        ("shards_at_once: 0", "shards_at_once must be a whole number from 1"),
        ("shards_at_once: 1.0", "shards_at_once must be a whole number from 1"),
        ('default: {"a\\nb": 1}', r"default.'a\nb' is unknown; there are"),
        ('tasks: {"a\\nb": {}}', r"tasks.'a\nb' is unknown; there are"),
        ('secrets: {"a\\nb": c}', r"secrets.'a\nb' is unknown; there are"),
        ('{"a\\nb": 1, "a\\nb": 2}', r"'a\nb' is given twice, in line 1 and in line 1"),
        ("- a", "must hold the fields of a profile"),
        ("", "must hold the fields of a profile"),
        ("default: {scratch: 1Gi}\ndefault: {}", "default is given twice, in line 1 and in line 2"),
        ("default:\n  retries: 1\n  timeout_hours: 1\n  retries: 2", "retries is given twice, in line 2 and in line 4"),
        ("default: [", "is not YAML"),
        ("store: !!timestamp 2026-13-45", "is not YAML"),
        (f"shards_at_once: {'9' * 5000}", "line 1: that number is too long"),
        ("[" * 3000, "is nested too deeply"),
        ("default: &a\n  labels: *a", "default.labels.labels must be"),
    ],
)
def test_wrong_profile_is_refused_with_the_field_and_what_is_allowed(tmp_path: Path, text: str, said: str) -> None:
    assert said in refused(tmp_path, text)


@pytest.mark.parametrize("field", ["environment", "annotations"])
def test_password_in_a_value_is_refused_and_not_repeated(tmp_path: Path, field: str) -> None:
    error = refused(tmp_path, f"default: {{{field}: {{HTTP_PROXY: 'http://user:hunter2@proxy:3128'}}}}")
    assert f"default.{field}.HTTP_PROXY must be a string without a password" in error
    assert "hunter2" not in error


def test_yaml_s_anchors_and_merges_are_no_repetition(tmp_path: Path) -> None:
    path = tmp_path / "merged.yaml"
    path.write_text(
        "tasks:\n  scan: &one {cpu_request: 1, retries: 0}\n  merge: {<<: *one, cpu_request: 2}\n  gate: *one\n"
    )
    tasks = load_profile(str(path)).tasks
    assert [tasks[verb]["cpu_request"] for verb in ("scan", "merge", "gate")] == ["1", "2", "1"]


def compile_with(tmp_path: Path, *more: str) -> int:
    recipe = str(ROOT / "recipes" / "smoke.yaml")
    return main(["compile", "--recipe", recipe, "--output", str(tmp_path / "p.yaml"), *more])


@pytest.mark.parametrize("name", ["nonsense", "nonsense.yaml", "no/laptop-kind", ".", "pipelines/profiles"])
def test_profile_that_is_not_there_is_an_error_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert compile_with(tmp_path, "--profile", name) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert name in error
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_where_the_profile_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "wrong.yaml").write_text("default: {retries: 2}")
    assert compile_with(tmp_path, "--profile", str(tmp_path / "wrong.yaml")) == 1
    assert "wrong.yaml: default.retries must come with timeout_hours" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["wrong.yaml"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("store: /data/store", "wrong.yaml: pods share no disk; the store must be s3://bucket"),
        ("store: s3://user:hunter2@bucket/x", "wrong.yaml: "),
        ("tracking_uri: http://user:hunter2@mlflow", "wrong.yaml: the tracking URI must hold no user or password"),
        ("tracking_uri: ' http://mlflow:5000'", "wrong.yaml: the tracking URI must be http://host"),
        ("tracking_uri: http://mlflow:port", "wrong.yaml: the tracking URI must be http://host"),
        ("tracking_uri: 'http://[::1'", "wrong.yaml: the tracking URI must be http://host"),
    ],
)
def test_address_in_a_profile_is_checked_as_a_flag_s_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    (tmp_path / "wrong.yaml").write_text(text)
    assert compile_with(tmp_path, "--profile", str(tmp_path / "wrong.yaml")) == 1
    error = capsys.readouterr().err
    assert said in error
    assert "hunter2" not in error
    assert not (tmp_path / "p.yaml").exists()


def test_flags_replace_what_the_profile_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--store", "s3://other", "--s3-secret", "our-s3", "--registry", "ghcr.io/someone"]
    flags += ["--registered-model-name", "other-name"]
    assert compile_with(tmp_path, "--profile", str(EVERYTHING), *flags, "--tracking-uri", "https://tracking") == 0
    written = (tmp_path / "p.yaml").read_text()
    for kept in (
        "s3://other",
        "our-s3",
        "ghcr.io/someone/storm-core",
        "https://tracking",
        "storm-mlflow",
        "other-name",
    ):
        assert kept in written
    for replaced in (
        "s3://models/storm",
        "registry.example.com",
        "http://mlflow:5000",
        "whose identity opens",
        "storm-research",
    ):
        assert replaced not in written


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 100),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["1Gi", "2", "cuda"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=2), st.dictionaries(st.text(max_size=5) | SCALARS, inner, max_size=2)
    ),
    max_leaves=4,
)
# Mostly what has a place, with values that are right, nearly right and wrong.
TASKS = st.dictionaries(st.sampled_from(TASK_FIELDS) | st.text(max_size=5), VALUES, max_size=3)
EXAMPLE = yaml.safe_load(EVERYTHING.read_text())


@st.composite
def wrong_profiles(draw: st.DrawFn) -> dict[str, Any]:
    """The profile with every field, some of them replaced."""
    profile = {**EXAMPLE, "default": {**EXAMPLE["default"], **draw(TASKS)}}
    profile["tasks"] = {**EXAMPLE["tasks"], draw(st.sampled_from([*STAGES, "nonsense"])): draw(TASKS | VALUES)}
    return {**profile, **draw(st.dictionaries(st.sampled_from([*EXAMPLE, "nonsense"]), VALUES, max_size=1))}


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(document=wrong_profiles(), verb=st.sampled_from([*STAGES]))
def test_generated_profile_is_taken_by_kfp_or_refused_in_a_line(
    document: dict[str, Any], verb: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "generated.yaml"
    path.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
    try:
        profile = load_profile(str(path))
        check(profile)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        compile_task(profile, verb)


def compile_task(profile: Profile, verb: str) -> None:
    """Have KFP's SDK say of a task what it says of those of the verb."""

    @dsl.pipeline(name="one")  # type: ignore[untyped-decorator]
    def one() -> None:
        ask_for(component("fetch")(source="s3://bucket/model"), verb, profile)


@settings(deadline=None, max_examples=300)
@given(text=st.text(alphabet="ab:-{}[]&*!|>?%@,#'\" \n\t019.", max_size=40))
def test_any_text_is_taken_or_refused_in_a_line(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "text.yaml"
    path.write_text(text, encoding="utf-8")
    try:
        load_profile(str(path))
    except InputError as error:
        assert "\n" not in str(error)
