# shellcheck shell=bash
# Read by what lets someone into the store of a trial: KFP's own SeaweedFS.

# Lines of NAME=VALUE, as pods of the cluster reach the store: `store_settings KUBECTL...`. The key is in a secret of KFP's.
store_settings() {
    local template
    template='AWS_ACCESS_KEY_ID={{.data.accesskey | base64decode}}{{"\n"}}'
    template+='AWS_SECRET_ACCESS_KEY={{.data.secretkey | base64decode}}{{"\n"}}'
    template+='AWS_REGION=us-east-1{{"\n"}}AWS_ENDPOINT_URL_S3=http://seaweedfs.kubeflow:8333{{"\n"}}'
    "$@" get secret mlpipeline-minio-artifact --output "go-template=$template"
}
