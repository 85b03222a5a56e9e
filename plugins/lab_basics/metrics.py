"""Metrics: one number per epoch, accumulated over batches of any size on their device.

Metrics that are means are implemented here, since importing torchmetrics takes two to four seconds, more than a small
run. F1 and AUC are torchmetrics', imported when the first of them is built.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from lab.errors import ParameterError, ShapeError, describe
from lab_basics.losses import aligned, per_class

__all__ = [
    "AUC",
    "F1",
    "MAE",
    "MSE",
    "RMSE",
    "Accuracy",
    "Gathered",
    "Mean",
    "Perplexity",
    "TopKAccuracy",
    "decided",
    "precise",
]


class Mean:
    """Base class of metrics that are a mean over predictions, or a function of one.

    A subclass returns the sum over a batch and its number of predictions (``batch_sum``), and may transform the mean of
    the epoch (``finish``). Sums stay on the device, in double precision, until the epoch ends.

    Attributes:
        undefined: after ``compute``, the reason why the value is NaN; "" otherwise.
        nothing: the reason if there was no prediction.
    """

    higher_is_better: bool = True
    undefined: str = ""
    nothing: str = "no prediction counts"

    def __init__(self) -> None:
        self.reset()

    def batch_sum(self, output: Any, target: Any) -> tuple[Tensor, int | Tensor]:
        """Return the sum over a batch, and its number of predictions."""
        raise NotImplementedError

    def finish(self, mean: Tensor) -> Tensor:
        """Return the value of the metric from the mean over the epoch."""
        return mean

    def reset(self) -> None:
        """Reset the state at the start of an epoch."""
        self._sum: float | Tensor = 0.0
        self._count: int | Tensor = 0

    def update(self, output: Any, target: Any) -> None:
        """Accumulate one batch."""
        total, count = self.batch_sum(output, target)
        self._sum = self._sum + precise(total)
        self._count = self._count + count

    @property
    def metric_state(self) -> dict[str, Any]:
        """Return the accumulated state, for ``merge_state`` on another rank."""
        return {"sum": self._sum, "count": self._count}

    def merge_state(self, incoming: Mapping[str, Any]) -> None:
        """Merge the state of another rank."""
        device = self._sum.device if isinstance(self._sum, Tensor) else None
        self._sum = self._sum + torch.as_tensor(incoming["sum"], device=device)
        self._count = self._count + torch.as_tensor(incoming["count"], device=device)

    def compute(self) -> Tensor:
        """Return the value of the epoch, NaN if there was no prediction."""
        self.undefined = "" if float(self._count) else self.nothing
        if self.undefined:
            return torch.tensor(math.nan)
        return self.finish(torch.as_tensor(self._sum) / torch.as_tensor(self._count))


class Accuracy(Mean):
    """Fraction of predictions whose most probable class is the target.

    Args:
        ignore: class number of ignored targets, such as padding.

    Shapes:
        output (..., C) and target (...); or, for binary targets, output and target (...), and (N, 1) matches (N).
    """

    def __init__(self, *, ignore: int = -100) -> None:
        super().__init__()
        self.ignore = ignore

    def batch_sum(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        predicted, target = decided(output, target, "accuracy")
        # Counted on the device: reading a number here would synchronize every batch.
        counts = target != self.ignore
        return ((predicted == target) & counts).sum(), counts.sum()


class TopKAccuracy(Mean):
    """Fraction of predictions whose target is among the ``k`` most probable classes.

    Args:
        k: number of classes, at least 1.
        ignore: class number of ignored targets, such as padding.

    Shapes:
        output (..., C) with C at least k, target (...)
    """

    def __init__(self, *, k: int = 5, ignore: int = -100) -> None:
        super().__init__()
        if k < 1:
            raise ParameterError(f"k must be at least 1, got {k}", where="metric 'top_k_accuracy'")
        self.k = k
        self.ignore = ignore

    def batch_sum(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        scores, classes = per_class(output, target, "top_k_accuracy")
        if self.k > scores.shape[-1]:
            raise ShapeError(f"top_k_accuracy: k={self.k} of only {scores.shape[-1]} classes", hint="use a smaller k")
        counts = classes != self.ignore
        found = (scores.topk(self.k, dim=-1).indices == classes[:, None]).any(dim=-1)
        return (found & counts).sum(), counts.sum()


class Perplexity(Mean):
    """Perplexity: e to the power of the mean cross-entropy over all targets of the epoch; C for a uniform prediction.

    Args:
        ignore: class number of ignored targets, such as padding.

    Shapes:
        output (..., C) logits or log-probabilities, target (...)
    """

    higher_is_better = False

    def __init__(self, *, ignore: int = -100) -> None:
        super().__init__()
        self.ignore = ignore

    def batch_sum(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        logits, classes = per_class(output, target, "perplexity")
        total = functional.cross_entropy(logits, classes, ignore_index=self.ignore, reduction="sum")
        return total, (classes != self.ignore).sum()

    def finish(self, mean: Tensor) -> Tensor:
        return mean.exp()


class MSE(Mean):
    """Mean squared error.

    Shapes:
        output, target (...); (N, 1) matches (N).
    """

    higher_is_better = False

    def batch_sum(self, output: Tensor, target: Tensor) -> tuple[Tensor, int]:
        output, target = aligned(output, target, "mse")
        return precise(output - target).square().sum(), target.numel()


class RMSE(MSE):
    """Root mean squared error over the whole epoch, in the unit of the target.

    Shapes:
        output, target (...); (N, 1) matches (N).
    """

    def finish(self, mean: Tensor) -> Tensor:
        return mean.sqrt()


class MAE(Mean):
    """Mean absolute error, in the unit of the target.

    Shapes:
        output, target (...); (N, 1) matches (N).
    """

    higher_is_better = False

    def batch_sum(self, output: Tensor, target: Tensor) -> tuple[Tensor, int]:
        output, target = aligned(output, target, "mae")
        return precise(output - target).abs().sum(), target.numel()


class Gathered:
    """Base class of metrics that torchmetrics computes from all predictions of an epoch, kept on their device.

    Attributes:
        undefined: after ``compute``, the reason why the value is NaN; "" otherwise.
    """

    higher_is_better: bool = True
    undefined: str = ""

    def __init__(self) -> None:
        # At construction, so that the plan and not the first epoch reports it.
        _require_torchmetrics(type(self).__name__.lower())
        self.reset()

    def reset(self) -> None:
        """Reset the state at the start of an epoch."""
        self._outputs: list[Tensor] = []
        self._targets: list[Tensor] = []

    @property
    def metric_state(self) -> dict[str, Any]:
        """Return the accumulated state, for ``merge_state`` on another rank."""
        return {"outputs": self._outputs, "targets": self._targets}

    def merge_state(self, incoming: Mapping[str, Any]) -> None:
        """Merge the state of another rank."""
        device = self._outputs[0].device if self._outputs else None
        self._outputs.extend(output.to(device) for output in incoming["outputs"])
        self._targets.extend(target.to(device) for target in incoming["targets"])

    def compute(self) -> Tensor:
        """Return the value of the epoch, NaN if it is undefined."""
        self.undefined = "no prediction counts"
        if not self._outputs:
            return torch.tensor(math.nan)
        output, target = torch.cat(self._outputs), torch.cat(self._targets)
        self.undefined = self.why_undefined(output, target)
        return torch.tensor(math.nan) if self.undefined else self.score(output, target)

    def why_undefined(self, output: Tensor, target: Tensor) -> str:
        """Return the reason why the metric of these predictions is undefined, or ""."""
        raise NotImplementedError

    def score(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the value of all predictions (N, …) of the epoch and their targets (N)."""
        raise NotImplementedError


class F1(Gathered):
    """F1, the harmonic mean of precision and recall, by torchmetrics.

    Args:
        average: over classes: ``macro`` (equal weights), ``micro`` (over predictions), ``weighted`` (by the number of
            targets). Without effect for binary targets.
        ignore: class number of ignored targets, such as padding.

    Shapes:
        output (..., C) and target (...); or, for binary targets, output and target (...), and (N, 1) matches (N).
    """

    def __init__(self, *, average: Literal["macro", "micro", "weighted"] = "macro", ignore: int = -100) -> None:
        super().__init__()
        self.average = average
        self.ignore = ignore
        self._classes = 0

    def update(self, output: Tensor, target: Tensor) -> None:
        """Accumulate one batch."""
        self._classes = output.shape[-1] if output.dim() > target.dim() and output.shape[-1] > 1 else 0
        predicted, target = decided(output, target, "f1")
        self._outputs.append(predicted.flatten())
        self._targets.append(target.flatten())

    @property
    def metric_state(self) -> dict[str, Any]:
        return {**super().metric_state, "classes": self._classes}

    def merge_state(self, incoming: Mapping[str, Any]) -> None:
        super().merge_state(incoming)
        self._classes = max(self._classes, incoming["classes"])

    def why_undefined(self, output: Tensor, target: Tensor) -> str:
        counted = target[target != self.ignore]
        if not len(counted):
            return "no prediction counts"
        if not self._classes and not bool((counted == 1).any()):
            return "no target of class 1"
        return ""

    def score(self, output: Tensor, target: Tensor) -> Tensor:
        from torchmetrics.functional.classification import binary_f1_score, multiclass_f1_score

        predicted = output
        if not self._classes:
            return binary_f1_score(predicted, target, ignore_index=self.ignore)
        return multiclass_f1_score(predicted, target, self._classes, average=self.average, ignore_index=self.ignore)


class AUC(Gathered):
    """Area under the ROC curve, by torchmetrics.

    With more than two classes, the mean over the classes that occur, each against all others. Undefined if all targets
    are of one class.

    Shapes:
        output (N) or (N, 1), one score each, or (N, C); target (N) class numbers
    """

    def update(self, output: Tensor, target: Tensor) -> None:
        """Accumulate one batch."""
        self._outputs.append(_scores(output, target))
        self._targets.append(target.reshape(-1).long())

    def why_undefined(self, output: Tensor, target: Tensor) -> str:
        classes = target.unique()
        if not len(classes):
            return "no prediction counts"
        if len(classes) == 1:
            return f"only class {int(classes)}"
        return "scores are not a number" if bool(output.isnan().any()) else ""

    def score(self, output: Tensor, target: Tensor) -> Tensor:
        from torchmetrics.functional.classification import binary_auroc, multiclass_auroc

        if output.dim() == 1:
            return binary_auroc(_ranks(output), target)
        occurring = target.unique()
        if len(occurring) == output.shape[-1]:
            return multiclass_auroc(output.softmax(dim=-1), target, output.shape[-1])
        # torchmetrics averages a class without targets as 0, so the classes that occur are averaged here.
        probabilities = output.softmax(dim=-1)
        return torch.stack([binary_auroc(probabilities[:, each], (target == each).long()) for each in occurring]).mean()


def precise(values: Tensor) -> Tensor:
    """Convert to double precision if the device has it."""
    # Apple's MPS has no float64. Elsewhere sums of millions of float32 values would lose the last digits.
    return values.float() if values.device.type == "mps" else values.double()


def decided(output: Tensor, target: Tensor, who: str) -> tuple[Tensor, Tensor]:
    """Return predicted and true class numbers, by the largest logit, or by the sign of a single one."""
    if output.dim() > target.dim() and output.shape[-1] > 1:
        scores, classes = per_class(output, target, who)
        return scores.argmax(dim=-1), classes
    logits, target = aligned(output, target, who)
    return (logits > 0).long(), target.long()


def _scores(output: Tensor, target: Tensor) -> Tensor:
    """Return one score per example for two classes, higher for class 1; otherwise the scores (N, C)."""
    if output.dim() == target.dim() or output.shape[-1] == 1:
        return aligned(output, target, "auc")[0].reshape(-1)
    scores, _ = per_class(output, target, "auc")
    return scores[:, 1] - scores[:, 0] if scores.shape[-1] == 2 else scores


def _ranks(scores: Tensor) -> Tensor:
    """Map scores to numbers in [0, 1] of the same order."""
    # torchmetrics applies a sigmoid to logits, which makes the largest ones equal to 1 and so tied.
    _, ranks = torch.unique(scores, return_inverse=True)
    return precise(ranks) / max(len(ranks), 1)


def _require_torchmetrics(name: str) -> None:
    try:
        import torchmetrics  # noqa: F401
    except ImportError as error:
        raise ParameterError(
            f"metric '{name}' needs torchmetrics, which cannot be imported",
            where=describe(error),
            hint="pip install torchmetrics",
        ) from error
