#!/usr/bin/env bash
# The images, the pipeline in them, and the compiled pipeline on a cluster, on a machine that may have neither Docker nor
# a registry nor Kubernetes: a daemon of our own where none answers, a base image made of Debian's packages, the checks
# of every image, and then a cluster that is given the same images. Debian or Ubuntu, as root.
#
# The cluster: STORM_CLUSTER_TOOL is a program that starts one on this machine (`up`), loads images into it (`load -`),
# prints the variables that lead to it (`env`) and takes it away (`down`). .ci/kind_cluster is such a program.
#
# STORM_STAND_IN=no builds from the pinned base and PyTorch's own index instead, where both can be reached.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cluster=$(realpath "${STORM_CLUSTER_TOOL:-../shared/cluster/cluster}")
[ -x "$cluster" ] || { echo "no cluster: $cluster is no program; set STORM_CLUSTER_TOOL to one" >&2; exit 1; }

settings=$(mktemp)
started=""
clean_up() {
    rm -f "$settings"
    [ -z "$started" ] || "$cluster" down || true
    bash .ci/stop_docker.sh
}
trap clean_up EXIT
bash .ci/start_docker.sh

# The first client that can build: without its buildx plugin, Docker's own cannot.
for DOCKER in $(type -ap docker); do
    "$DOCKER" buildx version >/dev/null 2>&1 && break
    [[ $(DOCKER_BUILDKIT=1 "$DOCKER" build --help 2>/dev/null) == *--secret* ]] && break
    DOCKER=""
done
[ -n "$DOCKER" ] || { echo "no Docker client here can build with BuildKit" >&2; exit 1; }
export DOCKER

build_on_stand_in() {
    local base=storm-base:bookworm bundle=/etc/ssl/certs/ca-certificates.crt index
    bash images/stand_in.sh "$base"
    # What this machine's pip needs to reach its index, the build's needs too.
    echo "[global]" >"$settings"
    if [ -f "$bundle" ]; then
        echo "cert = $bundle" >>"$settings"
        export CA_BUNDLE=$bundle
    fi
    if index=$(python3.11 -m pip config get global.index-url 2>/dev/null); then
        echo "index-url = $index" >>"$settings"
    fi
    PIP_CONF=$settings BUILD_NETWORK=host make images IMAGES=cluster BASE_IMAGE="$base" TORCH_INDEX=
}

case ${STORM_STAND_IN:-yes} in
    no) make images IMAGES=cluster ;;
    *) build_on_stand_in ;;
esac
make test-images

started=yes
"$cluster" up
eval "$("$cluster" env)"
version=$(.venv/bin/python -c "from storm_core import __version__; print(__version__)")
"$DOCKER" save "storm-core:$version" "storm-training:$version" "storm-servers:$version" | "$cluster" load -
make test-cluster
