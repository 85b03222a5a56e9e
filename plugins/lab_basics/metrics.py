"""Metrics: one number per epoch, gathered over batches of any size on their own device.

Those that are a mean are a few lines here: importing torchmetrics takes two to four seconds, more than a small run.
F1 and AUC, where the details are many, are torchmetrics', imported when the first of them is built.
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

__all__ = ["AUC", "F1", "MAE", "MSE", "RMSE", "Accuracy", "Mean", "Perplexity", "TopKAccuracy"]


class Mean:
    """Base class of metrics that are a mean over predictions, or a function of one.

    A subclass gives the sum over a batch and how many predictions it is of (``batch_sum``), and may transform the mean
    of the epoch (``finish``). The sums stay on the device, in double precision, until the epoch ends.

    Attributes:
        undefined: after ``compute``, why the epoch has no value, which then is NaN; empty otherwise.
        nothing: the reason if no prediction counted.
    """

    higher_is_better: bool = True
    undefined: str = ""
    nothing: str = "no prediction counts"

    def __init__(self) -> None:
        self.reset()

    def batch_sum(self, output: Any, target: Any) -> tuple[Tensor, int | Tensor]:
        """The sum over a batch, and the number of predictions in it."""
        raise NotImplementedError

    def finish(self, mean: Tensor) -> Tensor:
        """What is reported, from the mean over the epoch."""
        return mean

    def reset(self) -> None:
        """Forget everything: an epoch begins."""
        self._sum: float | Tensor = 0.0
        self._count: int | Tensor = 0

    def update(self, output: Any, target: Any) -> None:
        """Take in one batch."""
        total, count = self.batch_sum(output, target)
        self._sum = self._sum + _precise(total)
        self._count = self._count + count

    @property
    def metric_state(self) -> dict[str, Any]:
        """What was seen so far, for another process to take in."""
        return {"sum": self._sum, "count": self._count}

    def merge_state(self, incoming: Mapping[str, Any]) -> None:
        """Take in what another process saw."""
        device = self._sum.device if isinstance(self._sum, Tensor) else None
        self._sum = self._sum + torch.as_tensor(incoming["sum"], device=device)
        self._count = self._count + torch.as_tensor(incoming["count"], device=device)

    def compute(self) -> Tensor:
        """Return the value of the epoch; NaN if no prediction counted."""
        self.undefined = "" if float(self._count) else self.nothing
        if self.undefined:
            return torch.tensor(math.nan)
        return self.finish(torch.as_tensor(self._sum) / torch.as_tensor(self._count))


class Accuracy(Mean):
    """Share of predictions whose most probable class is the target.

    Args:
        ignore: the class number of targets that do not count, such as padding.

    Shapes:
        output (..., C) and target (...); or, one logit per yes-or-no question, output and target (...), and (N, 1)
        may meet (N).
    """

    def __init__(self, *, ignore: int = -100) -> None:
        super().__init__()
        self.ignore = ignore

    def batch_sum(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        predicted, target = _decided(output, target, "accuracy")
        counts = target != self.ignore
        return ((predicted == target) & counts).sum(), counts.sum()


class TopKAccuracy(Mean):
    """Share of predictions whose target is among the ``k`` most probable classes.

    Args:
        k: how many guesses are allowed, at least 1.
        ignore: the class number of targets that do not count, such as padding.

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
            raise ShapeError(
                f"top_k_accuracy: k={self.k} of only {scores.shape[-1]} classes", hint="choose a smaller k"
            )
        counts = classes != self.ignore
        found = (scores.topk(self.k, dim=-1).indices == classes[:, None]).any(dim=-1)
        return (found & counts).sum(), counts.sum()


class Perplexity(Mean):
    """Perplexity: e to the mean cross-entropy over all targets of the epoch; a model that knows nothing has C.

    Args:
        ignore: the class number of targets that do not count, such as padding.

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
        output, target (...); (N, 1) may meet (N).
    """

    higher_is_better = False

    def batch_sum(self, output: Tensor, target: Tensor) -> tuple[Tensor, int]:
        output, target = aligned(output, target, "mse")
        return _precise(output - target).square().sum(), target.numel()


class RMSE(MSE):
    """Root of the mean squared error over the whole epoch, in the unit of the target.

    Shapes:
        output, target (...); (N, 1) may meet (N).
    """

    def finish(self, mean: Tensor) -> Tensor:
        return mean.sqrt()


class MAE(Mean):
    """Mean absolute error, in the unit of the target.

    Shapes:
        output, target (...); (N, 1) may meet (N).
    """

    higher_is_better = False

    def batch_sum(self, output: Tensor, target: Tensor) -> tuple[Tensor, int]:
        output, target = aligned(output, target, "mae")
        return _precise(output - target).abs().sum(), target.numel()


class Gathered:
    """Base class of metrics that torchmetrics computes from all predictions of an epoch.

    They are kept on their device; torchmetrics' functions see the whole epoch at once.

    Attributes:
        undefined: after ``compute``, why the epoch has no value, which then is NaN; empty otherwise.
    """

    higher_is_better: bool = True
    undefined: str = ""

    def __init__(self) -> None:
        _require_torchmetrics(type(self).__name__.lower())
        self.reset()

    def reset(self) -> None:
        """Forget everything: an epoch begins."""
        self._outputs: list[Tensor] = []
        self._targets: list[Tensor] = []

    @property
    def metric_state(self) -> dict[str, Any]:
        """What was seen so far, for another process to take in."""
        return {"outputs": self._outputs, "targets": self._targets}

    def merge_state(self, incoming: Mapping[str, Any]) -> None:
        """Take in what another process saw."""
        device = self._outputs[0].device if self._outputs else None
        self._outputs.extend(output.to(device) for output in incoming["outputs"])
        self._targets.extend(target.to(device) for target in incoming["targets"])

    def compute(self) -> Tensor:
        """Return the value of the epoch; NaN if it is undefined."""
        self.undefined = "no prediction counts"
        if not self._outputs:
            return torch.tensor(math.nan)
        output, target = torch.cat(self._outputs), torch.cat(self._targets)
        self.undefined = self.why_undefined(output, target)
        return torch.tensor(math.nan) if self.undefined else self.score(output, target)

    def why_undefined(self, output: Tensor, target: Tensor) -> str:
        """Return why these predictions have no value; empty if they have one."""
        raise NotImplementedError

    def score(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the value of all predictions (N, …) of the epoch and their targets (N)."""
        raise NotImplementedError


class F1(Gathered):
    """F1, the harmonic mean of precision and recall, by torchmetrics.

    Args:
        average: over classes: ``macro`` (each class counts the same), ``micro`` (each prediction), ``weighted`` (each
            class by its number of targets). Without effect where there are only two classes and one logit.
        ignore: the class number of targets that do not count, such as padding.

    Shapes:
        output (..., C) and target (...); or, one logit per yes-or-no question, output and target (...), and (N, 1)
        may meet (N).
    """

    def __init__(self, *, average: Literal["macro", "micro", "weighted"] = "macro", ignore: int = -100) -> None:
        super().__init__()
        self.average = average
        self.ignore = ignore
        self._classes = 0

    def update(self, output: Tensor, target: Tensor) -> None:
        """Take in one batch."""
        self._classes = output.shape[-1] if output.dim() > target.dim() and output.shape[-1] > 1 else 0
        predicted, target = _decided(output, target, "f1")
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
    """Area under the ROC curve, by torchmetrics: the chance that a positive example scores above a negative one.

    With more than two classes, the mean over the classes that occur, each against all others. Where all targets are of
    one class there is nothing to tell apart: it is undefined.

    Shapes:
        output (N) or (N, 1), one score each, or (N, C); target (N) class numbers
    """

    def update(self, output: Tensor, target: Tensor) -> None:
        """Take in one batch."""
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
        shares = output.softmax(dim=-1)  # torchmetrics counts a class without targets as 0
        return torch.stack([binary_auroc(shares[:, each], (target == each).long()) for each in occurring]).mean()


def _precise(values: Tensor) -> Tensor:
    """In double precision, where the device has it."""
    return values.float() if values.device.type == "mps" else values.double()


def _decided(output: Tensor, target: Tensor, who: str) -> tuple[Tensor, Tensor]:
    """Predicted and true class numbers: the largest of the classes, or the sign of a logit."""
    if output.dim() > target.dim() and output.shape[-1] > 1:
        scores, classes = per_class(output, target, who)
        return scores.argmax(dim=-1), classes
    logits, target = aligned(output, target, who)
    return (logits > 0).long(), target.long()


def _scores(output: Tensor, target: Tensor) -> Tensor:
    """One score per example where there are two classes: higher means class 1; otherwise (N, C) as it is."""
    if output.dim() == target.dim() or output.shape[-1] == 1:
        return aligned(output, target, "auc")[0].reshape(-1)
    scores, _ = per_class(output, target, "auc")
    return scores[:, 1] - scores[:, 0] if scores.shape[-1] == 2 else scores


def _ranks(scores: Tensor) -> Tensor:
    """Scores as numbers in [0, 1] in the same order: torchmetrics would squash logits, and merge the largest."""
    _, ranks = torch.unique(scores, return_inverse=True)
    return _precise(ranks) / max(len(ranks), 1)


def _require_torchmetrics(name: str) -> None:
    try:
        import torchmetrics  # noqa: F401
    except ImportError as error:
        raise ParameterError(
            f"metric '{name}' needs torchmetrics, which cannot be imported",
            where=describe(error),
            hint="pip install torchmetrics",
        ) from error
