"""MLflow: a database file, a tracking server, or a folder of files."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from lab.errors import LabError
from lab_trackers.tracker import RunFacts, Tracker, need_package

__all__ = ["MLflow"]

STATUS = {"finished": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}
REFUSED = re.compile(r"[^\w\-. :/]", re.ASCII)
"""Characters that MLflow allows in no name of a parameter or metric."""
MAX_NAME, MAX_TEXT, MAX_BATCH = 250, 5000, 100
SETTINGS = {
    # instead of seven attempts of two minutes, during which no run would train
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    # two lines per run in the middle of the progress display
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""Environment variables of MLflow that are set unless the user has set them."""


class MLflow(Tracker):
    """Runs in MLflow, one experiment per study.

    Args:
        uri: address of the tracking server, or of a database: ``sqlite:///mlflow.db``; else MLflow's own setting,
            ``MLFLOW_TRACKING_URI``.
        experiment: MLflow's experiment; the study's name if empty and ``MLFLOW_EXPERIMENT_NAME`` is not set.
    """

    name = "mlflow"

    def __init__(self, *, uri: str = "", experiment: str = "") -> None:
        self.uri, self.experiment = uri, experiment
        self._client: Any = None
        self._run = ""

    @property
    def where(self) -> str:
        return re.sub(r"://[^/@]+@", "://", self._address())

    def check(self) -> None:
        need_package("mlflow", "mlflow-skinny>=3.1,<4", "tracker 'mlflow'")
        address = self._address()
        if address.startswith("sqlite:"):
            need_package("sqlalchemy", "mlflow>=3.1,<4", f"tracker 'mlflow', {address}")
        is_folder = "://" not in address or address.startswith("file:")
        if is_folder and os.environ.get("MLFLOW_ALLOW_FILE_STORE", "").lower() not in ("true", "1"):
            raise LabError(
                "MLflow 3 writes no folders of files any more",
                where=f"tracker 'mlflow', {address}",
                hint="give a database, uri='sqlite:///mlflow.db', or set MLFLOW_ALLOW_FILE_STORE=true",
            )

    def start(self, run: RunFacts, known: str | None) -> str:
        from mlflow.entities import Param

        with self._opened() as client:
            self._run = self._continued(client, known) or self._begun(client, run)
        parameters = {_name(path): str(value)[:MAX_TEXT] for path, value in run.parameters.items()}
        self._send("params", [Param(name, value) for name, value in parameters.items()])
        return self._run

    def log(self, epoch: int, metrics: Mapping[str, float]) -> None:
        self._log(metrics, epoch)

    def finish(
        self,
        status: str,
        metrics: Mapping[str, float],
        files: Mapping[str, Path],
        *,
        error: str = "",
        ended: float | None = None,
    ) -> None:
        self._log(metrics, 0)
        if error:
            self._client.set_tag(self._run, "error", error[:MAX_TEXT])
        for name, path in files.items():
            self._client.log_artifact(self._run, str(path), str(Path(name).parent) if "/" in name else None)
        self._client.set_terminated(self._run, STATUS[status], None if ended is None else int(ended * 1000))
        self._client, self._run = None, ""

    def _address(self) -> str:
        if self.uri:
            return self.uri
        import mlflow

        return str(mlflow.get_tracking_uri())

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        """Open the store; two processes that create the tables of one database at once would fail."""
        for name, value in SETTINGS.items():
            os.environ.setdefault(name, value)
        import mlflow.tracking

        logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
        address = self._address()
        if not address.startswith("sqlite:///"):
            self._client = mlflow.tracking.MlflowClient(address)
            yield self._client
            return
        with FileLock(f"{address.removeprefix('sqlite:///')}.lock"):
            self._client = mlflow.tracking.MlflowClient(address)
            yield self._client

    def _continued(self, client: Any, known: str | None) -> str | None:
        """Return the run that was begun before, running again; None if it was deleted meanwhile."""
        from mlflow.exceptions import MlflowException

        if known is None:
            return None
        try:
            if client.get_run(known).info.lifecycle_stage == "deleted":
                return None
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None
        client.update_run(known, status="RUNNING")
        if "error" in client.get_run(known).data.tags:
            client.delete_tag(known, "error")
        return known

    def _begun(self, client: Any, run: RunFacts) -> str:
        from mlflow.exceptions import MlflowException

        name = self.experiment or os.environ.get("MLFLOW_EXPERIMENT_NAME") or run.study
        found = client.get_experiment_by_name(name)
        try:
            experiment = found.experiment_id if found is not None else client.create_experiment(name)
        except MlflowException:
            # another process has created it meanwhile
            experiment = client.get_experiment_by_name(name).experiment_id
        tags = run.tags | ({"mlflow.source.name": run.file} if run.file else {})
        began = int((run.began or time.time()) * 1000)
        begun = client.create_run(experiment, start_time=began, run_name=run.name, tags=tags)
        return str(begun.info.run_id)

    def _log(self, metrics: Mapping[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        values = [Metric(_name(name), float(value), now, step) for name, value in metrics.items()]
        self._send("metrics", values)

    def _send(self, kind: str, values: Sequence[Any]) -> None:
        for first in range(0, len(values), MAX_BATCH):
            self._client.log_batch(self._run, **{kind: values[first : first + MAX_BATCH]})


def _name(name: str) -> str:
    """Return a name that MLflow accepts.

    >>> _name("callbacks.study.py:Slow#1f")
    'callbacks.study.py:Slow_1f'
    """
    return REFUSED.sub("_", name)[:MAX_NAME]
