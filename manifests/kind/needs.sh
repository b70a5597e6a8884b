# shellcheck shell=bash
# Read by manifests/kind/up: what a machine must have for it, each with what to do where it is missing.

# By their manifests KFP, MLflow and Kubernetes itself ask for 1.7 processors and 4.1 GiB; the training of the demo for 1 and
# 7 GiB. Trainer is small.
NEEDED_PROCESSORS=4
NEEDED_MEMORY_GB=13
# Twice 3 GB of our images (Docker's and the node's), their layers while they are built, the node's image, and KFP's.
NEEDED_DISK_GB=20

check_machine() {
    check_programs
    check_docker
    check_internet
}

check_programs() {
    need docker "install Docker (https://docs.docker.com/get-docker)"
    need kind "install kind $KIND_VERSION or later (https://kind.sigs.k8s.io/docs/user/quick-start)"
    need kubectl "install kubectl $KUBERNETES_VERSION or near (https://kubernetes.io/docs/tasks/tools)"
    need git "install git: kubectl fetches the manifests of KFP and Trainer by it"
}

need() {
    command -v "$1" >/dev/null || fail "no program $1; $2"
}

check_docker() {
    local told processors memory root
    told=$(docker version 2>&1) ||
        fail "Docker's daemon does not answer ($(tail -n 1 <<<"$told")); start it, or let this user use it"
    told=$(docker info --format '{{.NCPU}} {{.MemTotal}} {{.DockerRootDir}}' 2>/dev/null)
    read -r processors memory root <<<"$told"
    ((processors >= NEEDED_PROCESSORS)) ||
        fail "Docker has $processors processors, and KFP with the demo takes $NEEDED_PROCESSORS; give it more"
    ((memory >= NEEDED_MEMORY_GB * 10 ** 9)) ||
        fail "Docker has $((memory / 10 ** 9)) GB of memory, and KFP with the demo takes $NEEDED_MEMORY_GB; give it more"
    check_disk "$root"
}

# Docker's directory may be within a virtual machine, where nobody sees from here how full it is.
check_disk() {
    local free
    free=$(df -Pk "$1" 2>/dev/null | awk 'NR == 2 {print int($4 * 1024 / 10 ^ 9)}') || true
    [ -z "$free" ] || has_cluster || ((free >= NEEDED_DISK_GB)) ||
        fail "$1 has $free GB free, and the images take $NEEDED_DISK_GB; docker system prune frees what nobody uses"
}

check_internet() {
    GIT_TERMINAL_PROMPT=0 git ls-remote --exit-code https://github.com/kubeflow/pipelines "refs/tags/$KFP_VERSION" \
        >/dev/null 2>&1 ||
        fail "https://github.com/kubeflow/pipelines cannot be read; KFP, Trainer and their images come from the internet"
}
