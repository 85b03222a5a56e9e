"""Callbacks that send a run to a tracker while it trains."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from lab_basics.callbacks import MEASURING
from lab_basics.monitor import finished_epoch

from lab.study.store import RunRecord
from lab.training.callback import Callback
from lab_trackers.mlflow import MLflow
from lab_trackers.tracker import RunFacts, Tracker, facts_of
from lab_trackers.tracking import Tracking, close_tracking, is_observed, open_tracking
from lab_trackers.wandb import Wandb

if TYPE_CHECKING:
    from lab.training import Learner

__all__ = ["MLflowLog", "TrackerLog", "WandbLog"]


class TrackerLog(Callback):
    """Send every epoch to a tracker, and when the run has ended its final metrics, status and artefacts.

    A learner without a folder sends nothing. A resumed run continues in the same run of the tracker.

    Args:
        to: the tracker.
    """

    observer = True

    name = "tracker"
    before = MEASURING
    # Nothing may be sent of a rehearsal.
    rehearse = False

    def __init__(self, *, to: Tracker) -> None:
        self.tracker = to
        self._tracking: Tracking | None = None

    def check(self, learner: Learner) -> None:
        self.tracker.check()

    def before_fit(self, learner: Learner) -> None:
        if learner.folder is None or not is_observed():
            return
        folder = Path(os.path.abspath(learner.folder))
        if folder.parents[1].name.startswith(".reproduce-"):
            return
        self._tracking = open_tracking(self.tracker, folder, _facts(folder, learner))
        self._tracking.attempt(self._tracking.log, learner.history)

    def after_epoch(self, learner: Learner) -> None:
        if self._tracking is not None and finished_epoch(learner) is not None:
            self._tracking.attempt(self._tracking.log, learner.history)

    def after_fit(self, learner: Learner) -> None:
        # A run of a study ends later, with its final metrics: the hook lab_run_finished.
        if self._tracking is not None and not self._tracking.facts.key:
            last = {f"final/{name}": value for name, value in (learner.history or [{}])[-1].items() if name != "epoch"}
            status = "finished" if learner.is_finished else "failed"
            close_tracking(self._tracking, status, last)
        self._tracking = None


def _facts(folder: Path, learner: Learner) -> RunFacts:
    """Return the facts of the run in a folder, or of a learner outside of a study."""
    if (folder / "experiment.json").is_file():
        return facts_of(RunRecord(folder.name, folder, "", {}))
    return RunFacts(folder.name, type(learner.model).__name__, learner.streams.seed_of_run, "")


class MLflowLog(TrackerLog):
    """Send a run to MLflow while it trains.

    Args:
        uri: address of the tracking server, or of a database: ``sqlite:///mlflow.db``; else MLflow's own setting.
        experiment: MLflow's experiment; the study's name if empty.
    """

    name = "mlflow"

    def __init__(self, *, uri: str = "", experiment: str = "") -> None:
        super().__init__(to=MLflow(uri=uri, experiment=experiment))


class WandbLog(TrackerLog):
    """Send a run to Weights & Biases while it trains.

    Args:
        project: the project; the study's name if empty and ``WANDB_PROJECT`` is not set.
        entity: user or team; else the library's own setting.
        offline: write to ``folder`` only, for ``wandb sync``; None follows ``WANDB_MODE``.
        folder: where its files are written, in a folder ``wandb``; the working folder if empty.
    """

    name = "wandb"

    def __init__(self, *, project: str = "", entity: str = "", offline: bool | None = None, folder: str = "") -> None:
        super().__init__(to=Wandb(project=project, entity=entity, offline=offline, folder=folder))
