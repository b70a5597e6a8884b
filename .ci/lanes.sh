# shellcheck shell=bash
# Read by .ci/run, .ci/nightly and .ci/kubeflow, which name their lanes in LANES and have a function for each.

# Run the lanes that are named, or all of them; a lane that is none is refused before any runs.
run_lanes() {
    local lane
    [ $# -gt 0 ] || set -- "${LANES[@]}"
    for lane in "$@"; do
        [[ " ${LANES[*]} " == *" $lane "* ]] || { echo "no lane $lane; there are ${LANES[*]}" >&2; exit 2; }
    done
    system_packages
    for lane in "$@"; do
        "$lane"
    done
}

title() {
    printf '\n=== %s (%s)\n' "$1" "$(date -u +%H:%M:%S)"
}

system_packages() {
    title "system packages"
    if ! command -v make >/dev/null || ! command -v python3.11 >/dev/null; then
        apt-get update -qq
        apt-get install -y -qq make python3.11 python3.11-venv
    fi
}
