"""Where a stage's run goes in MLflow, as the environment says.

KFP's MLflow plugin, where an administrator configured it, makes a run for the KFP run and one for each task. Formats:
`MLflowRuntimeConfig` in backend/src/common/plugins/mlflow/config.go and `RetrieveUserContainerEnvVars` in
backend/src/v2/common/plugins/mlflow/handler.go of kubeflow/pipelines 2.17.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from storm_core.mlflow_client import TRACKING_URI_VARIABLE
from storm_core.progress import report

# Set by whoever made the parent run: a run of the recipe on this machine.
PARENT_RUN_VARIABLE = "STORM_PARENT_RUN_ID"
# Id and display name of the KFP run, and the address of KFP's pages.
KFP_RUN_VARIABLE = "STORM_KFP_RUN_ID"
KFP_RUN_NAME_VARIABLE = "STORM_KFP_RUN_NAME"
KFP_URL_VARIABLE = "STORM_KFP_URL"
_PLUGIN_VARIABLE = "KFP_MLFLOW_CONFIG"
_EXPERIMENT = "storm"


@dataclass(frozen=True, kw_only=True)
class Destination:
    """Where a run goes.

    Attributes:
        run_id: of the run that KFP's plugin made for the task; None where the stage makes its own.
        parent_run_id: of the run that was made to lie above it; None where there is none, or it must be found.
        experiment_id: None where the experiment is known by its name.
        kfp_run_id: of the KFP run, which has one parent run in MLflow; None outside of KFP.
        by_plugin: whether KFP's plugin made the parent run, and ends it.
    """

    run_id: str | None = None
    parent_run_id: str | None = None
    experiment_id: str | None = None
    experiment_name: str = _EXPERIMENT
    kfp_run_id: str | None = None
    kfp_run_name: str | None = None
    kfp_url: str | None = None
    by_plugin: bool = False


def destination() -> Destination | None:
    """What the environment says; None where no server is named. Sets the variables that MLflow's client looks for."""
    plugin = _plugin_config()
    _point_client_at(plugin)
    if not os.environ.get(TRACKING_URI_VARIABLE):
        return None
    run_id, parent = _variable("MLFLOW_RUN_ID"), plugin.get("parentRunId")
    return Destination(
        run_id=run_id,
        parent_run_id=parent or _variable(PARENT_RUN_VARIABLE),
        experiment_id=_variable("MLFLOW_EXPERIMENT_ID") or plugin.get("experimentId"),
        experiment_name=_variable("MLFLOW_EXPERIMENT_NAME") or _EXPERIMENT,
        kfp_run_id=_variable(KFP_RUN_VARIABLE),
        kfp_run_name=_variable(KFP_RUN_NAME_VARIABLE),
        kfp_url=_variable(KFP_URL_VARIABLE),
        by_plugin=bool(run_id or parent),
    )


def _plugin_config() -> Mapping[str, Any]:
    """What KFP's plugin tells its launcher; empty where it is not there, or of another server than the stage's."""
    text = _variable(_PLUGIN_VARIABLE)
    try:
        config = json.loads(text or "{}")
    except (ValueError, RecursionError):
        config = None
    if not isinstance(config, dict):
        report(f"{_PLUGIN_VARIABLE} is no JSON object; the run that KFP's plugin made is not used", "warning")
        return {}
    ours = _variable(TRACKING_URI_VARIABLE)
    same = ours is None or ours.rstrip("/") == str(config.get("endpoint", "")).rstrip("/")
    return config if same or _variable("MLFLOW_RUN_ID") else {}


def _point_client_at(plugin: Mapping[str, Any]) -> None:
    """Tell MLflow's client what the plugin's own knows, where nobody told it otherwise."""
    told = {TRACKING_URI_VARIABLE: plugin.get("endpoint"), "MLFLOW_WORKSPACE": plugin.get("workspace")}
    if plugin.get("insecureSkipVerify"):
        told["MLFLOW_TRACKING_INSECURE_TLS"] = "true"
    if plugin.get("authType") == "kubernetes":
        told["MLFLOW_TRACKING_AUTH"] = "kubernetes-namespaced" if plugin.get("workspace") else "kubernetes"
    for name, value in told.items():
        if value:
            os.environ.setdefault(name, value)


def _variable(name: str) -> str | None:
    """The variable's value; None where it is empty, or a placeholder that nobody filled in."""
    value = os.environ.get(name, "")
    return value if value and not value.startswith("{{$") else None
