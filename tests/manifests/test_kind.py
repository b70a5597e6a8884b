"""`make cluster` and `make cluster-down`, with stand-ins for kind, kubectl and Docker: order, again, what fails."""

from pathlib import Path

import pytest

from pipelines.secrets import SECRETS
from storm_core import __version__
from tests.manifests.machine import ROOT, Machine

UP, DOWN = "manifests/kind/up", "manifests/kind/down"
# What is asked of a bare machine, in this order, each by how it begins.
STEPS = [
    "docker info",
    "git ls-remote",
    "make images IMAGES=cluster",
    "kind create cluster --name storm --image kindest/node:v1.34",
    "kind load docker-image --name storm storm-core",
    "kubectl apply --kustomize manifests/overlays/kind/kfp/cluster-scoped",
    "kubectl wait --for condition=established",
    "kubectl apply --kustomize manifests/overlays/kind/kfp/servers",
    "kubectl wait --for condition=available --timeout 900s --namespace kubeflow deployment --all",
    "kubectl apply --server-side --force-conflicts --kustomize manifests/overlays/kind/trainer/manager",
    "kubectl wait --for condition=available --timeout 900s --namespace kubeflow-system deployment --all",
    "kubectl apply --server-side --force-conflicts --kustomize manifests/overlays/kind/trainer/runtimes",
    "kubectl --namespace kubeflow get secret mlpipeline-minio-artifact",
    "kubectl --namespace kubeflow apply",
    "kubectl apply --server-side --force-conflicts --kustomize manifests/overlays/kind ",
    "kubectl rollout status deployment/mlflow",
]
TITLES = 9


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def places(calls: list[str], begins: list[str]) -> list[int]:
    """Where each of these is first asked."""
    return [next(place for place, call in enumerate(calls) if f"{call} ".startswith(begin)) for begin in begins]


def test_cluster_is_made_step_by_step_and_each_says_what_it_does(machine: Machine) -> None:
    made = machine.run(UP)
    assert made.returncode == 0, made.stderr
    assert places(machine.calls(), STEPS) == sorted(places(machine.calls(), STEPS))
    assert made.stdout.count("\n== ") == TITLES
    assert made.stdout.endswith(f"export KUBECONFIG={machine.home}/.kube/kind-storm.config\n")


def test_second_time_the_cluster_is_left_and_everything_else_is_done_again(machine: Machine) -> None:
    assert machine.run(UP).returncode == 0
    again = machine.run(UP)
    assert again.returncode == 0, again.stderr
    assert len(machine.asked("kind create")) == 1
    assert len(machine.asked("kind load")) == 2
    assert len(machine.asked("kubectl rollout")) == 2


@pytest.mark.parametrize("step", STEPS[2:])
def test_step_that_failed_ends_it_and_the_next_attempt_goes_on(machine: Machine, step: str) -> None:
    machine.set("failing", step)
    failed = machine.run(UP)
    assert failed.returncode != 0
    assert "this was to fail" in failed.stderr
    assert "== ready" not in failed.stdout
    machine.set("failing", "")
    assert "== ready" in machine.run(UP).stdout


def test_server_that_does_not_start_is_told_with_the_pods(machine: Machine) -> None:
    machine.set("failing", "kubeflow deployment --all")
    failed = machine.run(UP)
    assert "error: not all servers of kubeflow became ready in 15 minutes" in failed.stderr
    assert machine.asked("kubectl get pods --namespace kubeflow")


@pytest.mark.parametrize("program", ["docker", "kind", "kubectl", "git"])
def test_program_that_is_missing_is_named_with_where_it_is_from(machine: Machine, program: str) -> None:
    machine.remove(program)
    refused = machine.run(UP)
    assert refused.returncode == 1
    assert refused.stderr.lower().startswith(f"error: no program {program}; install {program}")
    assert machine.calls() == []


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("docker", "2 20000000000 /var/lib/docker", "Docker has 2 processors, and KFP with the demo takes 4"),
        ("docker", "8 8000000000 /var/lib/docker", "Docker has 8 GB of memory, and KFP with the demo takes 13"),
        ("free", 5_000_000, "/var/lib/docker has 5 GB free, and the images take 20"),
        ("internet", False, "https://github.com/kubeflow/pipelines cannot be read"),
        ("failing", "docker version", "Docker's daemon does not answer (docker: this was to fail); start it"),
    ],
)
def test_machine_that_has_too_little_is_told_before_anything_is_made(
    machine: Machine, name: str, value: object, told: str
) -> None:
    machine.set(name, value)
    refused = machine.run(UP)
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"error: {told}")
    assert len(refused.stderr.splitlines()) == 1
    assert not machine.asked("make") and not machine.asked("kind create")


def test_disk_within_a_virtual_machine_is_not_judged_from_here(machine: Machine) -> None:
    machine.set("failing", "df -Pk")
    assert machine.run(UP).returncode == 0


def test_disk_that_the_cluster_itself_filled_does_not_stop_it(machine: Machine) -> None:
    assert machine.run(UP).returncode == 0
    machine.set("free", 5_000_000)
    assert machine.run(UP).returncode == 0


def test_secret_of_the_store_has_what_tasks_read_and_is_in_no_command_line(machine: Machine) -> None:
    assert machine.run(UP).returncode == 0
    made = machine.get("secret")
    assert set(made) <= {*SECRETS["s3"].required, *SECRETS["s3"].optional}
    assert set(made) >= set(SECRETS["s3"].required)
    assert "hidden==" in made.values()
    assert made["AWS_ENDPOINT_URL_S3"] == "http://seaweedfs.kubeflow:8333"
    assert not any("hidden" in call for call in machine.calls())


def test_images_that_are_loaded_are_those_of_this_version(machine: Machine) -> None:
    assert machine.run(UP).returncode == 0
    (loaded,) = machine.asked("kind load docker-image")
    assert loaded.split()[5:] == [f"storm-{name}:{__version__}" for name in ("core", "training", "servers")]


def test_cluster_of_another_release_is_not_taken_for_ours(machine: Machine) -> None:
    machine.set("clusters", {"storm": "kindest/node:v1.20.0"})
    refused = machine.run(UP)
    assert refused.returncode == 1
    assert "error: cluster storm is of kindest/node:v1.20.0" in refused.stderr
    assert "make cluster-down" in refused.stderr


def test_cluster_is_found_among_many(machine: Machine) -> None:
    assert machine.run(UP).returncode == 0
    others = {f"one-of-the-other-clusters-{number}": "" for number in range(20_000)}
    machine.set("clusters", {**machine.get("clusters"), **others})
    again = machine.run(UP)
    assert again.returncode == 0, again.stderr


def test_kind_that_cannot_say_is_not_taken_for_one_without_clusters(machine: Machine) -> None:
    machine.set("failing", "kind get")
    failed = machine.run("manifests/kind/demo")
    assert "error: kind cannot list its clusters (kind: this was to fail)" in failed.stderr


def test_node_that_was_stopped_is_waited_for_and_one_that_stays_away_is_told(machine: Machine) -> None:
    assert machine.run(UP).returncode == 0
    machine.replace("sleep", "true")
    machine.set("failing", "kubectl get --raw /readyz")
    failed = machine.run(UP)
    assert "error: cluster storm does not answer; remove it (make cluster-down)" in failed.stderr
    assert len(machine.asked("kubectl get --raw /readyz")) > 30
    assert len(machine.asked("kind load")) == 1


def test_current_context_of_other_clusters_stays(machine: Machine) -> None:
    assert machine.run(UP).returncode == 0
    assert machine.run(DOWN).returncode == 0
    assert [path for path in machine.home.rglob("*") if path.is_file()] == []
    raw = (machine.state / "calls").read_text(encoding="utf-8").splitlines()
    assert all("--kubeconfig" in call for call in raw if call.startswith("kubectl"))


def test_cluster_is_removed_and_removing_nothing_is_no_error(machine: Machine) -> None:
    assert machine.run(UP).returncode == 0
    for _ in range(2):
        assert machine.run(DOWN).returncode == 0
    assert machine.get("clusters") == {}


def test_cluster_of_ci_is_of_the_same_release_under_another_name(machine: Machine) -> None:
    tool = ".ci/kind_cluster"
    for _ in range(2):
        assert machine.run(tool, "up").returncode == 0
    versions = (ROOT / "manifests" / "versions.env").read_text(encoding="utf-8")
    assert f"\nNODE_IMAGE={machine.get('clusters')['storm-ci']}\n" in versions
    assert machine.run(tool, "env").stdout == f"export KUBECONFIG={machine.home}/.kube/kind-storm-ci.config\n"
    assert machine.run(tool, "load", "-", text="images").returncode == 0
    assert machine.get("archive") == "images"
    assert machine.run(tool, "run", "conntrack", "-L").returncode == 0
    assert machine.asked("docker exec storm-ci-control-plane conntrack -L")
    for part in ("trainer", "kueue"):
        assert machine.run(tool, part).returncode == 0
    assert machine.run(tool, "stop", "kube-apiserver").returncode == 0
    assert machine.run(tool, "start", "kube-apiserver").returncode == 0
    away, here = "/etc/kubernetes/kube-apiserver.yaml", "/etc/kubernetes/manifests/kube-apiserver.yaml"
    assert machine.asked(f"docker exec storm-ci-control-plane mv {here} {away}")
    assert machine.asked(f"docker exec storm-ci-control-plane mv {away} {here}")
    assert machine.run(tool, "down").returncode == 0
    assert machine.get("clusters") == {}
