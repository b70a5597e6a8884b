"""Which TrainJob to follow: the one that is there already, else a new one; what failed is replaced."""

import time
from collections.abc import Mapping
from typing import Any

from storm_core.cluster.api import Api, Document
from storm_core.cluster.patience import patiently
from storm_core.progress import report

COMPLETE, FAILED = "Complete", "Failed"
_SECONDS_BETWEEN_LOOKS = 1.0


def claim(api: Api, document: Mapping[str, Any], *, replace_complete: bool) -> Document:
    """The job of the document's name: one that is under way or complete, else a new one made of the document.

    Of several who ask at once one makes it, and all follow it: a name is given once.

    Args:
        api: of the cluster.
        document: the job to make.
        replace_complete: whether a complete one is replaced too, as a failed one always is.
    """
    name = document["metadata"]["name"]
    while True:
        job = patiently(lambda: api.job(name))
        if job is None:
            made = patiently(lambda: api.create_job(document))
            if made:
                report(f"train: made TrainJob {name}")
                return made
        elif "deletionTimestamp" in job["metadata"]:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        elif has_ended(job, FAILED) or (replace_complete and has_ended(job, COMPLETE)):
            report(f"train: replaces TrainJob {name}, which is over")
            uid = job["metadata"]["uid"]
            patiently(lambda uid=uid: api.delete_job(name, uid))  # type: ignore[misc]
        elif joined := _join(api, job, document):
            report(f"train: follows TrainJob {name}, which is there already")
            return joined


def has_ended(job: Document, condition: str) -> bool:
    """Whether the job has this condition: `Complete` or `Failed`."""
    return condition_of(job, condition) is not None


def condition_of(job: Document, kind: str) -> Document | None:
    """The job's condition of this type, where it holds."""
    conditions = job.get("status", {}).get("conditions", [])
    return next((one for one in conditions if one["type"] == kind and one["status"] == "True"), None)


def _join(api: Api, job: Document, document: Mapping[str, Any]) -> Document | None:
    """The job, to go with our workflow no sooner than with the others; None where it changed meanwhile.

    A job that nobody owns stays so: with an owner it would go while others still follow it.
    """
    owners = job["metadata"].get("ownerReferences", [])
    uids = {one["uid"] for one in owners}
    ours = [one for one in document["metadata"].get("ownerReferences", []) if one["uid"] not in uids]
    if not owners or not ours:
        return job
    patch = {"metadata": {"resourceVersion": job["metadata"]["resourceVersion"], "ownerReferences": [*owners, *ours]}}
    return patiently(lambda: api.patch_job(job["metadata"]["name"], patch))
