"""Metrics of all predictions of an epoch: correlations, calibration, and several classes per example."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor

from lab.errors import ParameterError, ShapeError
from lab_basics.losses import aligned, per_class
from lab_basics.metrics import Gathered, decided, precise

__all__ = ["CalibrationError", "Matthews", "MultilabelAccuracy", "MultilabelF1", "Pearson", "Spearman"]


class Matthews(Gathered):
    """Matthews' correlation of predicted and true classes, by torchmetrics: 1 is perfect, 0 is chance.

    Undefined if all targets are of one class.

    Shapes:
        output (..., C) and target (...); or, for binary targets, output and target (...), and (N, 1) matches (N).
    """

    def __init__(self) -> None:
        super().__init__()
        self._classes = 2

    def update(self, output: Tensor, target: Tensor) -> None:
        """Accumulate one batch."""
        if output.dim() > target.dim() and output.shape[-1] > 1:
            self._classes = output.shape[-1]
        predicted, target = decided(output, target, "matthews")
        self._outputs.append(predicted.flatten())
        self._targets.append(target.flatten())

    @property
    def metric_state(self) -> dict[str, Any]:
        return {**super().metric_state, "classes": self._classes}

    def merge_state(self, incoming: Any) -> None:
        super().merge_state(incoming)
        self._classes = max(self._classes, incoming["classes"])

    def why_undefined(self, output: Tensor, target: Tensor) -> str:
        classes = target.unique()
        return f"only class {int(classes)}" if len(classes) == 1 else ""

    def score(self, output: Tensor, target: Tensor) -> Tensor:
        from torchmetrics.functional.classification import multiclass_matthews_corrcoef

        return multiclass_matthews_corrcoef(output, target, self._classes)


class Pearson(Gathered):
    """Pearson's correlation of predictions and targets. Undefined if either is constant.

    Shapes:
        output, target (...); (N, 1) matches (N).
    """

    def update(self, output: Tensor, target: Tensor) -> None:
        """Accumulate one batch."""
        output, target = aligned(output, target, type(self).__name__.lower())
        self._outputs.append(precise(output.detach()).flatten())
        self._targets.append(precise(target).flatten())

    def why_undefined(self, output: Tensor, target: Tensor) -> str:
        if bool(output.isnan().any()):
            return "predictions are not a number"
        for name, values in (("predictions", output), ("targets", target)):
            if len(values.unique()) == 1:
                return f"all {name} are equal"
        return ""

    def score(self, output: Tensor, target: Tensor) -> Tensor:
        a, b = output - output.mean(), target - target.mean()
        return (a * b).sum() / (a.norm() * b.norm())


class Spearman(Pearson):
    """Spearman's correlation: Pearson's of the ranks, of which equal values share the mean.

    Shapes:
        output, target (...); (N, 1) matches (N).
    """

    def score(self, output: Tensor, target: Tensor) -> Tensor:
        return super().score(_mean_ranks(output), _mean_ranks(target))


def _mean_ranks(values: Tensor) -> Tensor:
    """Return the rank of each value, from 1, equal values with their mean."""
    _, inverse, counts = torch.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum(0).to(values.dtype)
    return (last - (counts.to(values.dtype) - 1) / 2)[inverse]


class CalibrationError(Gathered):
    """Expected calibration error, by torchmetrics: the mean distance of confidence and accuracy over bins.

    Guo et al. 2017, arXiv:1706.04599, section 3.

    Args:
        bins: number of bins of confidence, of equal width.

    Shapes:
        output (..., C) logits, C at least 2, and target (...)
    """

    higher_is_better = False

    def __init__(self, *, bins: int = 15) -> None:
        super().__init__()
        if bins < 1:
            raise ParameterError(f"bins must be at least 1, got {bins}", where="metric 'calibration_error'")
        self.bins = bins

    def update(self, output: Tensor, target: Tensor) -> None:
        """Accumulate one batch."""
        logits, classes = per_class(output, target, "calibration_error")
        if logits.shape[-1] < 2:
            raise ShapeError("calibration_error: one output, at least 2 classes needed")
        self._outputs.append(logits.detach().float().softmax(-1))
        self._targets.append(classes)

    def why_undefined(self, output: Tensor, target: Tensor) -> str:
        return "scores are not a number" if bool(output.isnan().any()) else ""

    def score(self, output: Tensor, target: Tensor) -> Tensor:
        from torchmetrics.functional.classification import multiclass_calibration_error

        return multiclass_calibration_error(output, target, output.shape[-1], n_bins=self.bins)


class _Multilabel(Gathered):
    """Base class of metrics of examples with any number of classes; see ``MultilabelF1``."""

    name = ""

    def __init__(self, *, threshold: float = 0.5) -> None:
        super().__init__()
        if not 0 < threshold < 1:
            raise ParameterError(f"threshold must lie in (0, 1), got {threshold}", where=f"metric '{self.name}'")
        self._least = math.log(threshold / (1 - threshold))

    def update(self, output: Tensor, target: Tensor) -> None:
        """Accumulate one batch."""
        if output.dim() != 2 or output.shape != target.shape:
            raise ShapeError(
                f"{self.name}: output {tuple(output.shape)} does not fit target {tuple(target.shape)}",
                hint="both are (N, C)",
            )
        self._outputs.append(output.detach() > self._least)
        self._targets.append(target > 0.5)


class MultilabelF1(_Multilabel):
    """F1, or Fβ, of examples with any number of classes.

    fast.ai's lesson 3 on satellite pictures has F2 of examples with a threshold of 0.2:
    ``multilabel_f1(beta=2, threshold=0.2, average="examples")``.

    Args:
        average: ``macro``, the mean over classes that occur or are predicted; ``micro``, over all predictions; or
            ``examples``, the mean over examples, where one without any class and any prediction is right.
        beta: weight of recall relative to precision; 1 for F1.
        threshold: probability, in (0, 1), above which a class is predicted.

    Shapes:
        output (N, C) logits, target (N, C), 0 or 1
    """

    name = "multilabel_f1"

    def __init__(
        self, *, average: Literal["macro", "micro", "examples"] = "macro", beta: float = 1.0, threshold: float = 0.5
    ) -> None:
        super().__init__(threshold=threshold)
        if beta <= 0:
            raise ParameterError(f"beta must be positive, got {beta}", where="metric 'multilabel_f1'")
        self.average, self.beta = average, beta

    def why_undefined(self, output: Tensor, target: Tensor) -> str:
        return "" if bool(target.any()) else "no target has a class"

    def score(self, output: Tensor, target: Tensor) -> Tensor:
        axis, square = int(self.average == "examples"), self.beta**2
        right = (output & target).double().sum(axis)
        found = output.double().sum(axis) + square * target.double().sum(axis)
        if self.average == "micro":
            return (1 + square) * right.sum() / found.sum()
        if self.average == "examples":
            return torch.where(found > 0, (1 + square) * right / found.clamp(min=1), 1.0).mean()
        return ((1 + square) * right[found > 0] / found[found > 0]).mean()


class MultilabelAccuracy(_Multilabel):
    """Accuracy of examples with any number of classes.

    Args:
        exact: count examples of which every class is right (subset accuracy); by default the share of right decisions,
            one per example and class (1 - Hamming loss).
        threshold: probability, in (0, 1), above which a class is predicted.

    Shapes:
        output (N, C) logits, target (N, C), 0 or 1
    """

    name = "multilabel_accuracy"

    def __init__(self, *, exact: bool = False, threshold: float = 0.5) -> None:
        super().__init__(threshold=threshold)
        self.exact = exact

    def why_undefined(self, output: Tensor, target: Tensor) -> str:
        return ""

    def score(self, output: Tensor, target: Tensor) -> Tensor:
        right = output == target
        return (right.all(1) if self.exact else right).double().mean()
