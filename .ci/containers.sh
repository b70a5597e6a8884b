#!/usr/bin/env bash
# The images, and the compiled pipeline in them on a cluster, on a machine that may have neither Docker nor a registry nor
# Kubernetes: a daemon of our own where none answers, a base image made of Debian's packages, the checks of every image,
# and then a cluster that is given the same images. Debian or Ubuntu, as root.
#
# The cluster: STORM_CLUSTER_TOOL is a program that starts one on this machine (`up`), loads images into it (`load -`),
# prints the variables that lead to it (`env`), runs a command in its node's network (`run`), by which the tests learn who
# talked to whom, installs Kubeflow Trainer and Kueue (`trainer`, `kueue`), takes a component away and brings it back
# (`stop kube-apiserver`, `start kube-apiserver`), and takes all away (`down`). .ci/kind_cluster is such a program.
# STORM_CLUSTER_TESTS=cluster runs all tests of a cluster, those too that wait for minutes or train on its nodes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source .ci/docker.sh

cluster=$(realpath "${STORM_CLUSTER_TOOL:-../shared/cluster/cluster}")
[ -x "$cluster" ] || { echo "no cluster: $cluster is no program; set STORM_CLUSTER_TOOL to one" >&2; exit 1; }

started=""
clean_up() {
    [ -z "$started" ] || "$cluster" down || true
    stop_docker
}
trap clean_up EXIT
start_docker
build_images cluster
make test-images

started=yes
"$cluster" up
eval "$("$cluster" env)"
version=$(storm_version)
# The stages' pages are looked at in a browser.
if ! command -v chromium >/dev/null && ! command -v google-chrome >/dev/null; then
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends chromium
fi
"$DOCKER" save "storm-core:$version" "storm-training:$version" "storm-servers:$version" | "$cluster" load -
tests=${STORM_CLUSTER_TESTS:-cluster and not slow}
if [[ $tests != *"not slow"* ]]; then
    "$cluster" trainer
    "$cluster" kueue
fi
export STORM_CLUSTER_TOOL=$cluster
make test-cluster CLUSTER_TESTS="$tests"
