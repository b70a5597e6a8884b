#!/usr/bin/env bash
# Stop the daemon that start_docker.sh started, and no other.
set -euo pipefail
pidfile=/run/storm-docker/dockerd.pid
[ -f "$pidfile" ] || { echo "start_docker.sh started no daemon here"; exit 0; }
pid=$(cat "$pidfile")
kill "$pid" 2>/dev/null || true
for _ in $(seq 60); do
    kill -0 "$pid" 2>/dev/null || { rm -f "$pidfile"; exit 0; }
    sleep 1
done
echo "dockerd ($pid) did not stop within a minute" >&2
exit 1
