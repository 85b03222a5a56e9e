"""Lightning: metrics and checkpoints of a trainer inside a training function."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lightning
import torch
from lightning.fabric.plugins.io.checkpoint_io import CheckpointIO

from lab import TaskRun
from lab.errors import RunFailed
from lab_bridges.checkpoints import load_state, remove_state, save_state

__all__ = ["LabCallback", "RunCheckpointIO"]


class RunCheckpointIO(CheckpointIO):
    """Keep the trainer's checkpoint as that of the run, without pickle, whatever path the trainer gives.

    Args:
        run: the run, as the training function gets it.
    """

    def __init__(self, run: TaskRun) -> None:
        self.run = run

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        save_state(self.run, checkpoint)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        state = load_state(self.run)
        if state is None:
            raise RunFailed("this run has no checkpoint", where=str(path), hint="fit(..., **callback.fit_options())")
        return dict(state)

    def remove_checkpoint(self, path: Any) -> None:
        remove_state(self.run)


class LabCallback(lightning.Callback):
    """Log the metrics of every epoch to a run, save a checkpoint after it, and stop the trainer when asked to.

    ``Trainer(callbacks=[callback], **callback.trainer_options())`` and ``trainer.fit(..., **callback.fit_options())``
    make a killed run go on from its last epoch; ``return callback.metrics()`` ends the training function.

    Args:
        run: the run, as the training function gets it.
    """

    def __init__(self, run: TaskRun) -> None:
        self.run = run
        self._interrupted = False
        self._global: torch.Tensor | None = None

    def trainer_options(self) -> dict[str, Any]:
        """Return options of a trainer inside a run: its device, its folder, and no output of its own."""
        kind, _, index = self.run.device.partition(":")
        return {
            "accelerator": "cpu" if kind == "cpu" else "gpu" if kind == "cuda" else kind,
            "devices": [int(index)] if index else 1,
            "default_root_dir": self.run.folder,
            "logger": False,
            "enable_checkpointing": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "plugins": [RunCheckpointIO(self.run)],
        }

    def fit_options(self) -> dict[str, Any]:
        """Return options of ``fit``: the checkpoint of a run that was stopped or killed, if there is one."""
        # the path is for messages alone: RunCheckpointIO knows its file
        return {} if self.run.checkpoint.load() is None else {"ckpt_path": self.run.folder, "weights_only": True}

    def metrics(self) -> dict[str, float]:
        """Return the metrics that the last epoch logged.

        Raises:
            RunFailed: no epoch logged a metric.
            KeyboardInterrupt: the run was asked to stop; everything is saved.
        """
        if self._interrupted:
            # not inside fit, where Lightning answers it by ending the process
            raise KeyboardInterrupt
        if not self.run.history:
            raise RunFailed(
                "the trainer logged no metric",
                hint="call self.log(...) in validation_step, and give fit a validation set",
            )
        return {name: value for name, value in self.run.history[-1].items() if name not in ("epoch", "seconds")}

    def state_dict(self) -> dict[str, Any]:
        # Lightning keeps no generators; without them a resumed run would see other batches
        return {
            "history": self.run.history,
            "streams": self.run.streams.state_dict(),
            "global": torch.get_rng_state(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.run.history[:] = state_dict["history"]
        self.run.streams.load_state_dict(state_dict["streams"])
        self._global = state_dict["global"]

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if self._global is not None:
            # late, since building the model and the loaders draws as well
            torch.set_rng_state(self._global)
            self._global = None

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        # the validation of an epoch comes before the end of its training
        logged: Mapping[str, Any] = trainer.callback_metrics
        try:
            self.run.log(epoch=trainer.current_epoch, **{name: float(value) for name, value in logged.items()})
        except KeyboardInterrupt:
            self._interrupted = trainer.should_stop = True
        if not isinstance(trainer.strategy.checkpoint_io, RunCheckpointIO):
            raise RunFailed(
                "the trainer would write its checkpoint as a pickle",
                hint="Trainer(..., **callback.trainer_options()), or plugins=[RunCheckpointIO(run)]",
            )
        try:
            trainer.save_checkpoint(self.run.folder, weights_only=False)
        except KeyboardInterrupt:
            # raised once the state is saved, by a run that was asked to stop
            self._interrupted = trainer.should_stop = True

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if not self._interrupted:
            remove_state(self.run)
