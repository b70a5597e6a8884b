# shellcheck shell=bash
# Read by what reaches the cluster of manifests/kind/up from this machine.
#
# KFP, its store and MLflow are reached by `kubectl port-forward` as long as the script runs. Ports of this machine are
# taken by STORM_KFP_PORT, STORM_S3_PORT and STORM_MLFLOW_PORT.
source manifests/kind/cluster.sh
source manifests/kind/store.sh
source manifests/kind/needs.sh
kfp_port=${STORM_KFP_PORT:-18080}
s3_port=${STORM_S3_PORT:-18333}
mlflow_port=${STORM_MLFLOW_PORT:-15000}
ANSWER_SECONDS=60
forwards=()

# Reach the cluster, and set in the environment where KFP (STORM_KFP_HOST), its store (the AWS variables) and MLflow
# (MLFLOW_TRACKING_URI) are, KUBECONFIG, and what `submit` is told of this cluster (STORM_KFP_FLAGS).
reach_cluster() {
    check_programs
    has_cluster || fail "there is no cluster $cluster; make cluster makes it"
    use_settings
    log=$(mktemp)
    trap end_forwards EXIT
    forward ml-pipeline-ui 80 "$kfp_port" STORM_KFP_PORT
    forward seaweedfs 8333 "$s3_port" STORM_S3_PORT
    forward mlflow 5000 "$mlflow_port" STORM_MLFLOW_PORT
    wait_for_answers
}

use_settings() {
    local settings line
    settings=$(store_settings on_cluster --namespace kubeflow) ||
        fail "the cluster $cluster has no secret of KFP's store; make cluster ends what was begun"
    while read -r line; do
        export "${line?}"
    done <<<"$settings"
    # What a shell has of another store does not belong to this key; and pods have another name for this one.
    unset AWS_PROFILE AWS_SESSION_TOKEN AWS_ENDPOINT_URL
    export AWS_ENDPOINT_URL_S3=http://127.0.0.1:$s3_port
    export KUBECONFIG=$kubeconfig
    export STORM_KFP_HOST=http://127.0.0.1:$kfp_port
    STORM_KFP_FLAGS=$(submit_flags)
    export STORM_KFP_FLAGS STORM_KFP_ARTIFACTS=s3://mlpipeline/v2/artifacts
    export MLFLOW_TRACKING_URI=http://127.0.0.1:$mlflow_port
}

# Forward a port of a Service: forward SERVICE PORT HERE VARIABLE. A forward ends with its pod and now and then by itself,
# so it is begun again for as long as this script runs.
forward() {
    ! answers "$3" || fail "port $3 of this machine is taken; set $4 to a free one"
    set -m # a group of its own, to end it with the kubectl that it started
    while :; do
        on_cluster port-forward --namespace kubeflow --address 127.0.0.1 "service/$1" "$3:$2" || true
        sleep 1
    done >/dev/null 2>>"$log" &
    forwards+=($!)
    set +m
}

answers() {
    { true 3<>"/dev/tcp/127.0.0.1/$1"; } 2>/dev/null
}

wait_for_answers() {
    local port
    for port in "$kfp_port" "$s3_port" "$mlflow_port"; do
        until answers "$port"; do
            ((SECONDS < ANSWER_SECONDS)) || fail "port $port does not answer: $(tail -n 1 "$log")"
            sleep 0.2
        done
    done
}

end_forwards() {
    local group
    # First, as bash may lose a program that it starts while killed jobs end ("wait_for: No record of process").
    rm -f "$log"
    for group in ${forwards[@]+"${forwards[@]}"}; do
        kill -- "-$group" 2>/dev/null || true
    done
}
