"""MLflow: one run a stage, below one parent run for the whole; a server that is away costs no result.

Nothing is tracked unless a server is named (`MLFLOW_TRACKING_URI`, or by KFP's MLflow plugin). What a stage logs is
sent by a thread of its own, in batches; what does not get there is kept in the store's ledger and logged by a later
stage.
"""

from storm_core.tracking.destination import KFP_RUN_NAME_VARIABLE, PARENT_RUN_VARIABLE
from storm_core.tracking.session import current_run, track
from storm_core.tracking.stage_run import StageRun
from storm_core.tracking.work import Work

__all__ = ["KFP_RUN_NAME_VARIABLE", "PARENT_RUN_VARIABLE", "StageRun", "Work", "current_run", "track"]
