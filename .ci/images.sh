#!/usr/bin/env bash
# The images and the pipeline in them, on a machine that may have neither Docker nor a registry: a daemon of our own where
# none answers, a base image made of Debian's packages, and the checks of every image. Debian or Ubuntu, as root.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bash .ci/start_docker.sh
trap 'bash .ci/stop_docker.sh' EXIT

# The first client that can build: without its buildx plugin, Docker's own cannot.
for DOCKER in $(type -ap docker); do
    "$DOCKER" buildx version >/dev/null 2>&1 && break
    [[ $(DOCKER_BUILDKIT=1 "$DOCKER" build --help 2>/dev/null) == *--secret* ]] && break
    DOCKER=""
done
[ -n "$DOCKER" ] || { echo "no Docker client here can build with BuildKit" >&2; exit 1; }
export DOCKER

base=storm-base:bookworm
bash images/stand_in.sh "$base"

# What this machine's pip needs to reach its index, the build's needs too.
settings=$(mktemp)
trap 'rm -f "$settings"; bash .ci/stop_docker.sh' EXIT
bundle=/etc/ssl/certs/ca-certificates.crt
echo "[global]" >"$settings"
if [ -f "$bundle" ]; then
    echo "cert = $bundle" >>"$settings"
    export CA_BUNDLE=$bundle
fi
if index=$(python3.11 -m pip config get global.index-url 2>/dev/null); then
    echo "index-url = $index" >>"$settings"
fi
PIP_CONF=$settings BUILD_NETWORK=host make images BASE_IMAGE="$base" TORCH_INDEX=
make test-images
