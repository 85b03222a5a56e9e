"""Hugging Face: metrics and checkpoints of a ``Trainer`` inside a training function, and datasets on disk."""

from __future__ import annotations

import shutil
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

from lab import TaskRun
from lab.errors import RunFailed

__all__ = ["LabCallback"]

FOLDER = "trainer"
COSTS = ("epoch", "seconds")


class LabCallback(TrainerCallback):
    """Log the metrics of every evaluation to a run, and stop the trainer when the run is asked to.

    ``TrainingArguments(**callback.training_arguments())`` evaluates and saves after every epoch, so that
    ``trainer.train(resume_from_checkpoint=callback.resume_path())`` makes a killed run go on from its last epoch.

    Args:
        run: the run, as the training function gets it.
    """

    def __init__(self, run: TaskRun) -> None:
        self.run = run
        self._folder = run.folder / FOLDER
        self._interrupted = False

    def training_arguments(self) -> dict[str, Any]:
        """Return arguments of a trainer inside a run: its seed, device, folder and rhythm."""
        return {
            "output_dir": str(self._folder),
            "seed": self.run.seed,
            "data_seed": self.run.seed,
            "use_cpu": self.run.device == "cpu",
            "eval_strategy": "epoch",
            "save_strategy": "epoch",
            "save_total_limit": 1,
            "report_to": [],
            "disable_tqdm": True,
        }

    def resume_path(self) -> str | None:
        """Return the checkpoint of a run that was stopped or killed; None for one that begins anew."""
        return get_last_checkpoint(str(self._folder)) if self._folder.is_dir() else None

    def metrics(self) -> dict[str, float]:
        """Return the metrics of the last evaluation, with ``valid_`` for ``eval_``, without its speed.

        Raises:
            RunFailed: nothing was evaluated.
            KeyboardInterrupt: the run was asked to stop; everything is saved.
        """
        if self._interrupted:
            raise KeyboardInterrupt
        if not self.run.history:
            raise RunFailed("the trainer evaluated nothing", hint="give Trainer an eval_dataset")
        return {name: value for name, value in self.run.history[-1].items() if name not in COSTS}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any
    ) -> None:
        # of a resumed run: the rows of the epochs before
        rows = [(round(row["epoch"]) - 1, _named(row)) for row in state.log_history if "eval_loss" in row]
        self.run.history = [{"epoch": epoch, **named, "seconds": 0.0} for epoch, named in rows]

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float] | None = None,
        **others: Any,
    ) -> None:
        try:
            self.run.log(epoch=round(state.epoch or 0) - 1, **_named(metrics or {}))
        except KeyboardInterrupt:
            # the trainer saves after its evaluation, and stops then
            self._interrupted = control.should_training_stop = True

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any
    ) -> None:
        if not self._interrupted:
            shutil.rmtree(self._folder, ignore_errors=True)


def _named(metrics: dict[str, Any]) -> dict[str, float]:
    """Return the metrics of an evaluation under the names that ``lab`` uses.

    >>> _named({"eval_loss": 0.5, "eval_runtime": 3.0, "epoch": 1.0})
    {'valid_loss': 0.5}
    """
    # seconds and samples per second differ from run to run and are no results
    own = {name: value for name, value in metrics.items() if name.startswith("eval_")}
    return {
        name.replace("eval_", "valid_", 1): value
        for name, value in own.items()
        if not name.endswith(("_runtime", "_per_second"))
    }
