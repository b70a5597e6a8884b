"""What a stage sees of its run in MLflow."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from storm_core.errors import InputError
from storm_core.progress import report

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from storm_core.tracking.delivery import Delivery


class StageRun:
    """The MLflow run of one stage, or nothing at all where MLflow is not configured.

    What is logged waits to be sent: no method but `connection` and `log_file` waits for the server, and none but
    `connection` fails because of it.
    """

    def __init__(self, delivery: "Delivery | None" = None) -> None:
        self._delivery = delivery

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Log each metric once, or as a point of its curve at `step`."""
        if self._delivery:
            self._delivery.run.add_metrics(metrics, step)

    def log_results(self, metrics: Mapping[str, float]) -> None:
        """Log the metrics that the stage ends with; the headlines among them to the parent run too."""
        if self._delivery:
            self._delivery.log_results(metrics)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags."""
        if self._delivery:
            self._delivery.run.add_tags(tags)

    def log_file(self, path: Path) -> None:
        """Keep a copy of the file with the run, where this process can reach the place of the run's files."""
        if self._delivery:
            self._delivery.log_file(path)

    def environment(self) -> dict[str, str]:
        """Variables by which another process logs to this run; none where MLflow is not configured, or away."""
        try:
            connection = self.connection()
        except InputError as error:
            report(f"what the nodes log gets a run of its own: {error}", "warning")
            return {}
        return {"MLFLOW_RUN_ID": connection[1]} if connection else {}

    def connection(self) -> "tuple[MlflowClient, str] | None":
        """A client and the run's id; None where MLflow is not configured.

        Raises:
            InputError: MLflow cannot be used; the message says why.
        """
        return self._delivery.connection() if self._delivery else None
