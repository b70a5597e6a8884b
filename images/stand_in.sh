#!/usr/bin/env bash
# What `make images` takes from a registry and from PyTorch's index, made here without them: stand_in.sh [IMAGE].
# A Debian tree of its own becomes the base image IMAGE, and images/wheels gets PyTorch from where this machine's pip
# has it (the same file: its hash is locked). Afterwards:
#     make images BASE_IMAGE=IMAGE TORCH_INDEX=
# Debian as root, with debootstrap. For trials and CI; what is published should come from the pinned base.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
image=${1:-storm-base:bookworm}
docker=${DOCKER:-docker}
python=${PYTHON:-python3.11}

if ! "$docker" image inspect "$image" >/dev/null 2>&1; then
    command -v debootstrap >/dev/null || { apt-get update -qq && apt-get install -y -qq debootstrap; }
    tree=$(mktemp -d)
    trap 'rm -rf "$tree"' EXIT
    debootstrap --variant=minbase --include=python3,python3-pip,python3-venv,ca-certificates bookworm "$tree" >"$tree.log"
    rm -f "$tree.log"
    tar --directory "$tree" --exclude='./var/cache/apt/*.bin' --exclude='./var/cache/apt/archives/*.deb' \
        --exclude='./var/lib/apt/lists/*' --exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' \
        --exclude='./usr/share/locale/*' --create . | "$docker" import - "$image"
fi
"$python" -m pip download --quiet --no-deps --require-hashes --dest images/wheels --requirement requirements/torch-cpu.txt
echo "$image is there, and images/wheels holds $(cd images/wheels && ls ./*.whl)"
