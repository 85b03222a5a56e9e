"""Metrics of tabular competitions, on the scale of the target column where stated."""

from __future__ import annotations

import torch
from lab_basics.losses import aligned, per_class
from lab_basics.metrics import Mean
from torch import Tensor

from lab.errors import DataError

__all__ = ["RMSLE", "RMSPE", "LogLoss"]

SMALLEST_SHARE = 1e-7


class LogLoss(Mean):
    """Mean negative log-probability of the true class; probabilities are clipped at 1e-7.

    Shapes:
        output (B, K) logits, target (B,)
    """

    higher_is_better = False

    def batch_sum(self, output: Tensor, target: Tensor) -> tuple[Tensor, int]:
        logits, classes = per_class(output, target, "log_loss")
        chosen = logits.double().softmax(-1).gather(1, classes[:, None])
        return -chosen.clamp(min=SMALLEST_SHARE).log().sum(), len(classes)


class RMSPE(Mean):
    """Root mean squared relative error, (y - ŷ) / y, on the scale of the target column; rows with y = 0 are skipped.

    The metric of the Rossmann competition.

    Args:
        target_is_log: outputs and targets are logarithms.

    Shapes:
        output, target (B,)
    """

    higher_is_better = False
    nothing = "every target is 0"

    def __init__(self, target_is_log: bool) -> None:
        super().__init__()
        self.target_is_log = target_is_log

    def batch_sum(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        output, target = (each.double() for each in aligned(output, target, "rmspe"))
        if self.target_is_log:
            output, target = output.exp(), target.exp()
        is_counted = target != 0
        errors = torch.where(is_counted, (output - target) / torch.where(is_counted, target, 1), 0)
        return errors.square().sum(), is_counted.sum()

    def finish(self, mean: Tensor) -> Tensor:
        return mean.sqrt()


class RMSLE(Mean):
    """Root mean squared logarithmic error, the metric of the House Prices competition.

    Predictions are clipped at ``floor`` from below, as in *Dive into Deep Learning*, where it is 1.

    Args:
        target_is_log: outputs and targets are logarithms already.
        floor: lowest prediction on the scale of the target column, above 0.

    Shapes:
        output, target (B,)
    """

    higher_is_better = False

    def __init__(self, target_is_log: bool, *, floor: float = 1.0) -> None:
        super().__init__()
        self.target_is_log, self.floor = target_is_log, floor

    def batch_sum(self, output: Tensor, target: Tensor) -> tuple[Tensor, int]:
        output, target = (each.double() for each in aligned(output, target, "log_rmse"))
        if not self.target_is_log:
            if bool((target <= 0).any()):
                raise DataError("metric 'log_rmse' needs positive targets", hint="use rmse")
            output, target = output.clamp(min=self.floor).log(), target.log()
        return (output - target).square().sum(), len(target)

    def finish(self, mean: Tensor) -> Tensor:
        return mean.sqrt()
