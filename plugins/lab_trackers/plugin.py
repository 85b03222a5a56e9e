"""Contents: the registry of trackers, callbacks and hooks that send runs to them, and ``lab track``."""

from __future__ import annotations

import os
from typing import Any

from lab import RegistrySpec, hookimpl


@hookimpl
def lab_registries() -> list[RegistrySpec]:
    """Registry ``trackers``."""
    return [RegistrySpec("trackers", "tracker", "lab_trackers.tracker:Tracker", "trackers of experiments")]


@hookimpl
def lab_trackers() -> dict[str, str]:
    """MLflow and Weights & Biases."""
    return {"mlflow": "lab_trackers.mlflow:MLflow", "wandb": "lab_trackers.wandb:Wandb"}


@hookimpl
def lab_callbacks() -> dict[str, str]:
    """Callbacks that send every epoch to a tracker."""
    return {
        "mlflow": "lab_trackers.callbacks:MLflowLog",
        "tracker": "lab_trackers.callbacks:TrackerLog",
        "wandb": "lab_trackers.callbacks:WandbLog",
    }


@hookimpl
def lab_study_started(study: Any, runs: Any) -> None:
    """Warn of trackers in ``LAB_TRACK`` that cannot be used."""
    if os.environ.get("LAB_TRACK") and runs:
        from lab_trackers.tracking import check_variable

        check_variable(runs[0].catalog)


@hookimpl
def lab_run_started(run: Any) -> None:
    """Begin the run in every tracker in ``LAB_TRACK``."""
    if os.environ.get("LAB_TRACK"):
        from lab_trackers.tracking import begin_run

        begin_run(run)


@hookimpl
def lab_run_finished(run: Any, result: Any) -> None:
    """Complete the run in its trackers."""
    from lab_trackers.tracking import end_run

    end_run(run, result)


@hookimpl
def lab_study_finished(study: Any, runs: Any) -> None:
    """Complete runs whose process died."""
    if os.environ.get("LAB_TRACK"):
        from lab_trackers.tracking import end_deserted

        end_deserted(runs)


@hookimpl
def lab_commands() -> dict[str, tuple[str, ...]]:
    """``lab track``."""
    return {
        "track": ("lab_trackers.track_command:track", "Send runs to MLflow or Weights & Biases.", "Read the answer")
    }


@hookimpl
def lab_scaffolds() -> dict[str, str]:
    """Template of a tracker for ``lab new``."""
    return {"tracker": "lab_trackers:scaffolds/tracker"}


@hookimpl
def lab_conformance() -> str:
    """Checks of trackers."""
    return "lab_trackers.conformance:support"
