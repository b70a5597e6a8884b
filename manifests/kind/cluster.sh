# shellcheck shell=bash
# Read by what makes, uses and removes a cluster by kind, in the repository's root. Its name is STORM_KIND_CLUSTER, and its
# kubeconfig a file of its own: the current context of anybody's other clusters stays what it is.
source manifests/versions.env
cluster=${STORM_KIND_CLUSTER:-storm}
kubeconfig=$HOME/.kube/kind-$cluster.config

step() {
    printf '\n== %s\n' "$*"
}

# Say what is wrong and what to do, and end.
fail() {
    echo "error: $*" >&2
    exit 1
}

# Not by a pipe: where there are many clusters kind would be killed as soon as ours is found, which looks as if it is not.
has_cluster() {
    local clusters
    clusters=$(kind get clusters 2>&1) || fail "kind cannot list its clusters ($(tail -n 1 <<<"$clusters"))"
    grep -qxF "$cluster" <<<"$clusters"
}

# The cluster, made where there is none.
make_cluster() {
    local image
    mkdir -p "$(dirname "$kubeconfig")"
    if ! has_cluster; then
        kind create cluster --name "$cluster" --image "$NODE_IMAGE" --kubeconfig "$kubeconfig" --wait 120s
        return
    fi
    image=$(docker inspect --format '{{.Config.Image}}' "$cluster-control-plane")
    [ "$image" = "$NODE_IMAGE" ] ||
        fail "cluster $cluster is of $image, not of $NODE_IMAGE; remove it (make cluster-down) and make it again"
    docker start "$cluster-control-plane" >/dev/null
    kind export kubeconfig --name "$cluster" --kubeconfig "$kubeconfig"
    wait_until_it_answers
}

# A node that was stopped takes a while; one whose making was broken off never answers.
wait_until_it_answers() {
    for _ in {1..60}; do
        on_cluster get --raw /readyz >/dev/null 2>&1 && return
        sleep 2
    done
    fail "cluster $cluster does not answer; remove it (make cluster-down) and make it again"
}

remove_cluster() {
    kind delete cluster --name "$cluster" --kubeconfig "$kubeconfig"
    rm -f "$kubeconfig"
}

on_cluster() {
    kubectl --kubeconfig "$kubeconfig" "$@"
}

install_trainer() {
    on_cluster apply --server-side --force-conflicts --kustomize manifests/overlays/kind/trainer/manager
    wait_for_servers kubeflow-system
    on_cluster apply --server-side --force-conflicts --kustomize manifests/overlays/kind/trainer/runtimes
}

wait_for_servers() {
    on_cluster wait --for condition=available --timeout 900s --namespace "$1" deployment --all || {
        on_cluster get pods --namespace "$1" >&2
        fail "not all servers of $1 became ready in 15 minutes; see why (kubectl describe pod), and make cluster goes on"
    }
}

# What `submit` is told of this cluster, beside the recipe and KFP's address.
submit_flags() {
    echo --profile laptop-kind --store s3://mlpipeline/storm --s3-secret storm-s3 --tracking-uri http://mlflow:5000 \
        --service-account pipeline-runner --allow-local-images
}
