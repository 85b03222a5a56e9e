"""Lightning: metrics and checkpoints of a trainer inside a training function."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lightning
import torch

from lab import TaskRun
from lab.errors import RunFailed

__all__ = ["LabCallback"]

CHECKPOINT = "lightning.ckpt"


class LabCallback(lightning.Callback):
    """Log the metrics of every epoch to a run, save a checkpoint after it, and stop the trainer when asked to.

    ``Trainer(callbacks=[callback], **callback.trainer_options())`` and ``trainer.fit(..., **callback.fit_options())``
    make a killed run go on from its last epoch; ``return callback.metrics()`` ends the training function.

    Args:
        run: the run, as the training function gets it.
    """

    def __init__(self, run: TaskRun) -> None:
        self.run = run
        self._path = run.folder / CHECKPOINT
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
        }

    def fit_options(self) -> dict[str, Any]:
        """Return options of ``fit``: the checkpoint of a run that was stopped or killed, if there is one."""
        # weights_only: what is loaded holds tensors and plain values, and no pickled object
        return {"ckpt_path": self._path, "weights_only": True} if self._path.is_file() else {}

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
        self.run.history = list(state_dict["history"])
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
        temporary = self._path.with_suffix(".tmp")
        trainer.save_checkpoint(temporary, weights_only=False)
        temporary.replace(self._path)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if not self._interrupted:
            self._path.unlink(missing_ok=True)
