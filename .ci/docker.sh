# shellcheck shell=bash
# Read by scripts that need Docker and the images, on a machine that may have neither a daemon nor a registry.
#
# STORM_STAND_IN=no builds from the pinned base and PyTorch's own index, where both can be reached, and not on a base image
# made of Debian's packages.

# A daemon for the rest of the script: of our own where none answers, stopped when the script ends.
with_docker() {
    trap stop_docker EXIT
    start_docker
}

start_docker() {
    bash .ci/start_docker.sh
    # The first client that can build: without its buildx plugin, Docker's own cannot.
    for DOCKER in $(type -ap docker); do
        "$DOCKER" buildx version >/dev/null 2>&1 && break
        [[ $(DOCKER_BUILDKIT=1 "$DOCKER" build --help 2>/dev/null) == *--secret* ]] && break
        DOCKER=""
    done
    [ -n "$DOCKER" ] || { echo "no Docker client here can build with BuildKit" >&2; exit 1; }
    export DOCKER
}

stop_docker() {
    bash .ci/stop_docker.sh
}

# The images of a group of images/docker-bake.json.
build_images() {
    local base=storm-base:bookworm bundle=/etc/ssl/certs/ca-certificates.crt settings index
    if [ "${STORM_STAND_IN:-yes}" = no ]; then
        make images IMAGES="$1"
        return
    fi
    bash images/stand_in.sh "$base"
    # What this machine's pip needs to reach its index, the build's needs too.
    settings=$(mktemp)
    echo "[global]" >"$settings"
    if [ -f "$bundle" ]; then
        echo "cert = $bundle" >>"$settings"
        export CA_BUNDLE=$bundle
    fi
    if index=$(python3.11 -m pip config get global.index-url 2>/dev/null); then
        echo "index-url = $index" >>"$settings"
    fi
    PIP_CONF=$settings BUILD_NETWORK=host make images IMAGES="$1" BASE_IMAGE="$base" TORCH_INDEX=
    rm -f "$settings"
}

storm_version() {
    .venv/bin/python -c "from storm_core import __version__; print(__version__)"
}
