"""Training: one model, one data, one loop. A library by itself, independent of the registry."""

from __future__ import annotations

from lab.training.callback import Callback
from lab.training.checkpoint import Checkpoint
from lab.training.data import Data, Sampler
from lab.training.learner import Learner
from lab.training.means import mean_over
from lab.training.rng import Streams, part
from lab.training.state import EVENTS, CancelBatch, CancelEpoch, CancelFit, Position, Training
from lab.training.stepper import Evaluation, Stepper, Supervised

__all__ = [
    "EVENTS",
    "Callback",
    "CancelBatch",
    "CancelEpoch",
    "CancelFit",
    "Checkpoint",
    "Data",
    "Evaluation",
    "Learner",
    "Position",
    "Sampler",
    "Stepper",
    "Streams",
    "Supervised",
    "Training",
    "mean_over",
    "part",
]
