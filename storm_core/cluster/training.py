"""A training on several nodes, from the TrainJob to what it left in the store."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from storm_core.cluster.api import Api, connect
from storm_core.cluster.claiming import COMPLETE, claim, has_ended
from storm_core.cluster.document import train_job
from storm_core.cluster.errors import ClusterError
from storm_core.cluster.followers import following, forget
from storm_core.cluster.following import Ending, follow
from storm_core.cluster.nodes import TrainingNodes
from storm_core.cluster.own_pod import own_pod
from storm_core.cluster.patience import patiently
from storm_core.cluster.request import JobRequest
from storm_core.heartbeat import activity
from storm_core.progress import report
from storm_core.stores.ledger import Ledger

T = TypeVar("T")


def train_on_nodes(nodes: TrainingNodes, request: JobRequest, ledger: Ledger, recall: Callable[[], T | None]) -> T:
    """What `recall` finds in the store once a TrainJob has trained.

    Args:
        nodes: to train on.
        request: what the job is to do.
        ledger: of the store, which has the followers' leases.
        recall: the result of the run; None where there is none.

    Raises:
        ClusterError: the cluster refuses the job, or the job failed; the message says why.
    """
    api = connect()
    document = train_job(request, nodes, patiently(lambda: own_pod(api)))
    name = document["metadata"]["name"]
    with following(ledger, request.key, 60 * nodes.unfollowed_minutes):
        ending = _to_the_end(api, document, nodes, replace_complete=request.afresh or recall() is None)
    if not ending.complete:
        raise ClusterError(f"TrainJob {name} failed: {ending.reason}")
    result = recall()
    if result is None:
        raise ClusterError(f"TrainJob {name} is complete, and the store has no result of it; remove the job")
    forget(ledger, request.key)
    return result


def _to_the_end(api: Api, document: Mapping[str, Any], nodes: TrainingNodes, *, replace_complete: bool) -> Ending:
    """How the job of the document ends; one that had ended itself is made again, to go on from its checkpoint."""
    with activity(f"train on {nodes.in_words()}") as current:
        job = claim(api, document, replace_complete=replace_complete)
        if has_ended(job, COMPLETE):
            return Ending(complete=True)
        ending = follow(api, job, current)
        while ending.unfollowed:
            report("train: the TrainJob ended itself before it was followed again; another goes on from its checkpoint")
            ending = follow(api, claim(api, document, replace_complete=False), current)
        return ending
