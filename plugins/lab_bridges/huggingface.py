"""Hugging Face: metrics and checkpoints of a ``Trainer`` inside a training function."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from lab import TaskRun
from lab.errors import RunFailed
from lab.training.rng import global_random_state, set_global_random_state
from lab_bridges.checkpoints import load_state, remove_state, save_state

__all__ = ["LabCallback"]

FOLDER = "trainer"
COSTS = ("epoch", "seconds")


class LabCallback(TrainerCallback):
    """Log the metrics of every evaluation to a run, and stop the trainer when the run is asked to.

    ``TrainingArguments(**callback.training_arguments())`` evaluates after every epoch, and the callback saves then, so
    that ``trainer.train(resume_from_checkpoint=callback.resume_path())`` makes a killed run go on from its last epoch.
    The trainer's own checkpoints are pickles in part (``optimizer.pt``, ``scheduler.pt``, ``rng_state.pth``,
    ``training_args.bin``) and are switched off. Differs from them: the scale of float16 losses starts anew.

    Args:
        run: the run, as the training function gets it.
    """

    def __init__(self, run: TaskRun) -> None:
        self.run = run
        self._folder = run.folder / FOLDER
        self._interrupted = False
        self._kept: dict[str, Any] | None = None

    def training_arguments(self) -> dict[str, Any]:
        """Return arguments of a trainer inside a run: its seed, device, folder and rhythm."""
        return {
            "output_dir": str(self._folder),
            "seed": self.run.seed,
            "data_seed": self.run.seed,
            "use_cpu": self.run.device == "cpu",
            "eval_strategy": "epoch",
            "save_strategy": "no",
            "report_to": [],
            "disable_tqdm": True,
        }

    def resume_path(self) -> str | None:
        """Return the checkpoint of a run that was stopped or killed; None for one that begins anew."""
        self._kept = load_state(self.run)
        if self._kept is None:
            return None
        # the parts that the trainer reads itself: the weights, and how far it was
        self._folder.mkdir(exist_ok=True)
        weights = {name: tensor.contiguous() for name, tensor in self._kept["model"].items()}
        save_file(weights, self._folder / "model.safetensors", metadata={"format": "pt"})
        (self._folder / "trainer_state.json").write_text(self._kept["trainer"], encoding="utf-8")
        return str(self._folder)

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
        if self._kept is not None:
            others["optimizer"].load_state_dict(self._kept["optimizer"])
            others["lr_scheduler"].load_state_dict(self._kept["scheduler"])

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any
    ) -> None:
        if self._kept is not None:
            # late, since building the loaders draws as well
            set_global_random_state(self._kept["random"], torch.device(self.run.device))
            self._kept = None

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float] | None = None,
        **others: Any,
    ) -> None:
        kept = {
            "model": others["model"].state_dict(),
            "optimizer": others["optimizer"].state_dict(),
            "scheduler": others["lr_scheduler"].state_dict(),
            "random": global_random_state(torch.device(self.run.device)),
            "trainer": json.dumps(asdict(state)),
        }
        try:
            self.run.log(epoch=round(state.epoch or 0) - 1, **_named(metrics or {}))
        except KeyboardInterrupt:
            self._interrupted = control.should_training_stop = True
        try:
            save_state(self.run, kept)
        except KeyboardInterrupt:
            # raised once the state is saved
            self._interrupted = control.should_training_stop = True

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any
    ) -> None:
        if not self._interrupted:
            remove_state(self.run)
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
