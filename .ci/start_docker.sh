#!/usr/bin/env bash
# Start a Docker daemon where none answers, and wait for it: start_docker.sh [DATA_ROOT]. Debian or Ubuntu, as root.
set -euo pipefail
data_root=${1:-/var/lib/docker}
state=/run/storm-docker

if docker version >/dev/null 2>&1; then
    echo "a Docker daemon answers already"
    exit 0
fi
if ! command -v dockerd >/dev/null; then
    apt-get update -qq
    # The packages' own start-up is not wanted: this script starts what it can stop again.
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
    chmod +x /usr/sbin/policy-rc.d
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    apt-get install -y -qq --no-install-recommends docker.io iptables
fi
mkdir -p "$state" "$data_root"
nohup dockerd --data-root "$data_root" --pidfile "$state/dockerd.pid" >"$state/dockerd.log" 2>&1 </dev/null &
for _ in $(seq 60); do
    if docker version >/dev/null 2>&1; then
        echo "dockerd runs; its log is $state/dockerd.log"
        exit 0
    fi
    sleep 1
done
echo "dockerd did not answer within a minute:" >&2
tail -n 20 "$state/dockerd.log" >&2
exit 1
