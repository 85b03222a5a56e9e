"""Training: one model, one data, one loop. This room knows no registry and is a library by itself."""

from __future__ import annotations

from lab.training.callback import EVENTS, Callback, CancelBatch, CancelEpoch, CancelFit
from lab.training.checkpoint import Checkpoint
from lab.training.data import Data, Sampler
from lab.training.learner import Learner
from lab.training.loop import Position
from lab.training.means import mean_over
from lab.training.rng import Streams, part
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
    "mean_over",
    "part",
]
