"""What clusters know and a profile cannot say, and why: there is no way to say it to Kubeflow Pipelines 2.17."""

import re
from collections.abc import Mapping

# By the beginning of the field's name in small letters alone.
_REASONS: Mapping[str, str] = {
    "priorityclass": "KFP has no field for a pod's priority class; where Kueue admits the pods, the label "
    "kueue.x-k8s.io/priority-class names one of Kueue's",
    "ephemeralstorage": "KFP has no field for requests of ephemeral storage; scratch gives a task a volume of a size",
    "securitycontext": "KFP and its installation decide the security context, and the image its user",
    "fsgroup": "KFP has no field for fsGroup; docs/profiles.md says how Argo sets it for scratch",
    "runas": "KFP and its installation decide the security context, and the image its user",
    "terminationgrace": "KFP's launcher gives a stage no grace; what must survive is written as the stage runs",
    "topologyspread": "KFP has no field for the spread of pods over nodes",
    "podaffinity": "KFP has no field for affinity to pods, only to nodes",
    "podantiaffinity": "KFP has no field for affinity to pods, only to nodes",
    "initcontainer": "KFP has no field for containers beside a task's own",
    "sidecar": "KFP has no field for containers beside a task's own; labels and annotations switch a mesh's",
    "runtimeclass": "KFP has no field for a pod's runtime class",
    "schedulername": "KFP has no field for a pod's scheduler",
    "hostnetwork": "KFP has no field for the node's network",
    "dns": "KFP has no field for a pod's name resolution",
}


def reason_against(name: str) -> str | None:
    """Why there is no field of this name; None where nothing is known of it."""
    plain = re.sub(r"[^a-z]", "", name.lower())
    return next((reason for begin, reason in _REASONS.items() if plain.startswith(begin)), None)
