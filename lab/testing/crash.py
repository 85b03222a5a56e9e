"""A power cut in the middle of training, and the run that is resumed from its checkpoint."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from lab.testing.finding import NotApplicable
from lab.testing.probe import same
from lab.training.callback import Callback
from lab.training.checkpoint import Checkpoint

if TYPE_CHECKING:
    from lab.training.learner import Learner
    from lab.training.state import Training

__all__ = ["EPOCHS", "differences", "train_with_power_cut"]

EPOCHS = 3
STEP_OF_CUT = 8
CLOCKS = ("seconds", "examples_per_second")


class PowerCut(Callback):
    """Keeps the folder as it was when step ``STEP_OF_CUT`` began; training itself goes on."""

    def __init__(self, keep: Path) -> None:
        self.keep = keep

    def before_batch(self, learner: Training) -> None:
        # The copy is what a power cut leaves: files of the last checkpoint, and of what was written since.
        if learner.position.step == STEP_OF_CUT and learner.folder is not None and not self.keep.exists():
            shutil.copytree(learner.folder, self.keep)


def train_with_power_cut(make: Callable[[Path, list[Callback]], Learner], folder: Path) -> tuple[Learner, Learner]:
    """Train twice: without a break, and resumed after a power cut in the second epoch.

    Args:
        make: makes the learner, with a folder and further callbacks.
        folder: an empty folder.

    Raises:
        NotApplicable: training ended before the cut.
    """

    def learner(name: str) -> Learner:
        # both of one name: a callback may keep it, as the key of its run
        place = folder / name / "run"
        place.mkdir(parents=True, exist_ok=True)
        # Only the steps decide when it saves, so that the cut falls into the middle of an epoch.
        saving = Checkpoint(every_epochs=10**6, every_steps=STEP_OF_CUT)
        return make(place, [saving, PowerCut(folder / "cut" / "run")])

    straight = learner("straight")
    straight.fit(EPOCHS)
    if not (folder / "cut" / "run").exists():
        raise NotApplicable(f"training ended before step {STEP_OF_CUT}, where the power is cut")
    resumed = learner("cut")
    resumed.resume(EPOCHS)
    return straight, resumed


def differences(first: Learner, second: Learner) -> list[str]:
    """Return the differences of two learners after training: history (clocks apart) and weights."""
    rows = zip(first.history, second.history, strict=False)
    found = [
        f"{name} of epoch {one['epoch'] + 1:.0f} is {value:.6g} and {other.get(name, float('nan')):.6g}"
        for one, other in rows
        for name, value in one.items()
        # Durations differ between any two runs.
        if not name.startswith(CLOCKS) and not same(value, other.get(name))
    ]
    if len(first.history) != len(second.history):
        found.append(f"the histories have {len(first.history)} and {len(second.history)} epochs")
    if not same(_weights(first), _weights(second)):
        found.append("the weights")
    return found


def _weights(learner: Learner) -> dict[str, Any]:
    state = learner.model.state_dict()
    return {name: value.detach() for name, value in state.items() if isinstance(value, Tensor)}
