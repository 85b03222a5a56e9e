"""Metrics as the loop uses them: one number per epoch, its reason where it is undefined, and its direction."""

from __future__ import annotations

import inspect
import math
import warnings
from typing import Any

from torch import Tensor

from lab.errors import LabError, ParameterError
from lab.training.state import Training
from lab.training.structure import describe_structure

__all__ = ["check_direction", "column_direction", "directions", "score_of"]

TARGET_FIRST = frozenset({"target", "targets", "y", "y_true", "label", "labels", "truth", "true", "gold", "reference"})
OUTPUT_SECOND = frozenset(
    {"output", "outputs", "pred", "preds", "prediction", "predictions", "y_pred", "y_hat", "logits"}
)


def score_of(name: str, metric: Any) -> tuple[float, str]:
    """Return the value of an epoch, and the reason if it is undefined, which makes it NaN.

    A metric states the reason in its attribute ``undefined``; torchmetrics' metrics warn.

    Raises:
        LabError: ``compute`` gives anything but one number.
    """
    with warnings.catch_warnings(record=True) as caught:
        if any(kind.__module__.startswith("torchmetrics") for kind in type(metric).__mro__):
            # otherwise a warning is given once, and the scores of later epochs would look defined
            warnings.simplefilter("always")
        value = metric.compute()
    reason = ""
    for each in caught:
        # torchmetrics return 0 for a score that is not defined, and warn that it is meaningless
        if "meaningless" in str(each.message):
            reason = reason or str(each.message).split(",")[0].rstrip(".")
        else:
            warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)
    if reason:
        return math.nan, reason
    score = _number(name, value)
    reason = str(getattr(metric, "undefined", "") or "")
    return math.nan if reason else score, reason


def _number(name: str, value: Any) -> float:
    numeric = isinstance(value, (int, float, Tensor)) or hasattr(value, "__float__")
    if numeric and not (isinstance(value, Tensor) and value.numel() != 1):
        try:
            return float(value)
        except (TypeError, ValueError, OverflowError):
            pass
    raise LabError(
        f"metric '{name}': compute gives {describe_structure(value)}, not one number",
        hint="return one number; for several write a metric for each, or one with a parameter that chooses",
    )


def check_direction(name: str, metric: Any) -> None:
    """Raise if a metric does not say whether more of it is better.

    Raises:
        ParameterError: ``higher_is_better`` is missing or None, as in some of torchmetrics'.
    """
    if not isinstance(getattr(metric, "higher_is_better", None), bool):
        kind = type(metric).__name__
        raise ParameterError(
            f"metric '{name}' does not say whether higher or lower is better",
            where=f"{kind}.higher_is_better is {_shown(metric)}",
            hint=f"class {kind}WithDirection({kind}): higher_is_better = True  (or False)",
        )


def check_arguments(name: str, metric: Any) -> None:
    """Raise if ``update`` takes the target before the output.

    Raises:
        ParameterError: its parameters are named so.
    """
    try:
        first, second, *_ = inspect.signature(metric.update).parameters
    except (TypeError, ValueError):
        return
    if first.lower() in TARGET_FIRST and second.lower() in OUTPUT_SECOND:
        raise ParameterError(
            f"metric '{name}' takes its arguments the other way round: update({first}, {second})",
            where=type(metric).__name__,
            hint="metrics are called as update(output, target)",
        )


def directions(learner: Training) -> dict[str, bool]:
    """Return whether higher is better for every column of the history and every score of a split.

    Losses are better when lower; metrics and callbacks state theirs (``higher_is_better``, ``Callback.metrics``). What
    states none is absent.
    """
    splits = [split for split in ("valid", "test") if getattr(learner.data, split, None) is not None]
    found = {"train_loss": False, **{f"{split}_loss": False for split in splits}}
    for name, metric in learner.metrics.items():
        direction = getattr(metric, "higher_is_better", None)
        if isinstance(direction, bool):
            found |= {f"{split}_{name}": direction for split in splits}
    for callback in learner.callbacks:
        found |= {name: bool(direction) for name, direction in callback.metrics.items()}
    return found


def column_direction(column: str, learner: Training, where: str) -> bool:
    """Return whether higher is better for a column that a callback follows.

    Raises:
        ParameterError: no epoch will have it, or it has no direction.
    """
    offered = {name: value for name, value in directions(learner).items() if not name.startswith("test_")}
    if column in offered:
        return offered[column]
    metric = learner.metrics.get(column.removeprefix("valid_"))
    if metric is not None and column.startswith("valid_") and learner.data.valid is not None:
        check_direction(column.removeprefix("valid_"), metric)
    raise ParameterError(f"unknown metric '{column}'", where=where, hint=f"this run has: {', '.join(offered)}")


def _shown(metric: Any) -> str:
    return repr(metric.higher_is_better) if hasattr(metric, "higher_is_better") else "missing"
