"""Runs and recurring runs of a version on a server."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import kfp_server_api

from pipelines.submission.server import Server, TakenError
from pipelines.submission.versions import Version, in_namespace, named
from storm_core.errors import InputError
from storm_core.stages import RERUN

# How a recurring run comes to be there.
MADE, THERE, DISABLED = "made", "there already", "there already, and disabled: KFP's page enables it"


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """What every run of a submission is: its version, arguments, experiment, and whom its pods run as."""

    version: Version
    arguments: Mapping[str, Any]
    experiment_id: str
    service_account: str | None

    def body(self) -> dict[str, Any]:
        """The fields that a run and a recurring run share."""
        return {
            "experiment_id": self.experiment_id,
            "pipeline_version_reference": kfp_server_api.V2beta1PipelineVersionReference(
                pipeline_id=self.version.pipeline_id, pipeline_version_id=self.version.version_id
            ),
            "runtime_config": kfp_server_api.V2beta1RuntimeConfig(parameters=dict(self.arguments)),
            "service_account": self.service_account,
        }


def experiment_id(server: Server, name: str) -> str:
    """The ID of the experiment called `name`, which is made where there is none."""
    found = _find_experiment(server, name)
    if found:
        return found
    wanted = kfp_server_api.V2beta1Experiment(display_name=name, namespace=server.namespace)
    try:
        made = server.call(server.client.experiments.experiment_service_create_experiment, wanted)
    except TakenError:
        found = _find_experiment(server, name)
        if found is None:
            raise InputError(f"KFP has an experiment {name} and does not list it; is it archived?") from None
        return found
    return str(made.experiment_id)


def _find_experiment(server: Server, name: str) -> str | None:
    listed = server.call(
        server.client.experiments.experiment_service_list_experiments, filter=named(name), **in_namespace(server)
    )
    return next((str(one.experiment_id) for one in listed.experiments or []), None)


def start_run(server: Server, request: RunRequest, name: str) -> str:
    """Start a run called `name`; returns its ID.

    Raises:
        InputError: the server refuses it, or did not answer; then it may have been started.
    """
    run = kfp_server_api.V2beta1Run(display_name=name, **request.body())
    return str(server.call(server.client.runs.run_service_create_run, run).run_id)


def recurring_run(server: Server, request: RunRequest, name: str, cron: str) -> tuple[str, str]:
    """The ID of the recurring run called `name` with this schedule, and how it comes to be there.

    One run at a time, and what was missed is not made up for.
    """
    listed = server.call(
        server.client.recurring_runs.recurring_run_service_list_recurring_runs,
        experiment_id=request.experiment_id,
        filter=named(name),
    )
    for one in listed.recurring_runs or []:
        if _is_same(one, request, cron):
            return str(one.recurring_run_id), THERE if one.status != "DISABLED" else DISABLED
    schedule = kfp_server_api.V2beta1CronSchedule(cron=cron)
    wanted = kfp_server_api.V2beta1RecurringRun(
        display_name=name,
        mode=kfp_server_api.RecurringRunMode.ENABLE,
        trigger=kfp_server_api.V2beta1Trigger(cron_schedule=schedule),
        max_concurrency=1,
        no_catchup=True,
        **request.body(),
    )
    made = server.call(server.client.recurring_runs.recurring_run_service_create_recurring_run, wanted)
    return str(made.recurring_run_id), MADE


def _is_same(one: Any, request: RunRequest, cron: str) -> bool:
    """Whether it is of this schedule and computes the same afresh; a version has all other arguments in its name."""
    schedule = one.trigger.cron_schedule if one.trigger else None
    given = (one.runtime_config.parameters if one.runtime_config else None) or {}
    afresh = (given.get(RERUN) or []) == request.arguments.get(RERUN, [])
    return bool(schedule and schedule.cron == cron) and afresh
