"""Scores of single examples of a split: kept beside a run, so that runs can be compared example by example.

A run keeps, in ``examples.safetensors``, the loss of every validation example, its weight in the mean loss, and every
metric that is a mean over examples (accuracy is, an area under a curve is not: this is tried, not assumed). They are
computed from the selected weights after training, or later from the weights in the store; they change no number of a
run.

A metric of the whole split that sums counts of its examples, as BLEU does, says so with two methods:
``example_statistics()`` returns the counts of every example so far, an array (examples, counts), and the static
``score_of_statistics(sums)`` computes scores from sums of counts, (..., counts) -> (...). Counts are kept too, as
``NAME statistics``, so that corpora can be resampled; under the metric's own name stand the examples' jackknife values,
whose mean is the score of the split.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lab.errors import LabError, describe_error
from lab.files import atomic_path

if TYPE_CHECKING:
    from lab.study.run import Run
    from lab.study.store import RunRecord
    from lab.training.learner import Learner

__all__ = [
    "FILE",
    "MAX_EXAMPLES",
    "is_kept",
    "jackknife_values",
    "keep_scores",
    "read_scores",
    "read_statistics",
    "run_finished",
    "scores_of_examples",
]

FILE = "examples.safetensors"
SWITCH = "LAB_EXAMPLES"
"""Environment variable; ``0`` keeps no scores after training."""

MAX_EXAMPLES = 10_000
"""Examples of a split up to which scores are kept after training: 120 kB for a loss, its weight and a metric."""

MAX_SHARE, MIN_SECONDS = 0.05, 0.5
"""Share of a run's training time, and seconds in any case, that keeping scores may take."""

MIN_TRAINING_S = 0.1
"""Seconds of training below which none are kept: building the model again would cost more than it took to train."""

STATISTICS = " statistics"
"""Ending of the names of counts in the file; no name of a metric has a space."""

TOLERANCE = 1e-4
Scores = dict[str, np.ndarray]


class TooSlowError(Exception):
    """Scoring takes longer than it may after training."""


def scores_of_examples(learner: Learner, split: str = "valid", *, seconds: float = math.inf) -> Scores:
    """Return the scores of every example of a split, each an array (examples,) in the order of the split.

    ``loss`` is the loss of an example, ``weight`` the number of elements that it is the mean over; ``loss`` averaged by
    ``weight`` is the loss of the split. Every other name is a metric that is the mean of its values on single examples,
    or ``NAME statistics``, the counts (examples, counts) of a metric that sums them.

    Output and target of a batch are cut into examples along a dimension whose parts give the loss of the batch;
    where there is none (a loss that mixes examples, an output of unknown structure), every example is a batch.

    Args:
        learner: with the weights to score.
        split: its name.
        seconds: give up after so many.

    Raises:
        TooSlowError: it takes longer.
    """
    from lab.training.rng import all_generators

    started = time.perf_counter()
    rows: list[dict[str, float]] = []
    examples = learner.data.split(split)
    summed = {name: metric for name, metric in learner.metrics.items() if hasattr(metric, "example_statistics")}
    for metric in summed.values():
        metric.reset()
    with learner.evaluating(), all_generators(learner.streams.seed("validate", split)):
        for part in _parts_of(learner, examples, summed):
            for output, target in part:
                rows.append(_row(learner, output, target, summed))
                if time.perf_counter() - started > seconds:
                    raise TooSlowError
    found = {name: np.array([row[name] for row in rows], dtype=np.float64) for name in rows[0]}
    for name, metric in summed.items():
        statistics = np.asarray(metric.example_statistics(), dtype=np.float64)
        found[name] = jackknife_values(statistics, metric.score_of_statistics)
        found[name + STATISTICS] = statistics
        metric.reset()
    return _only_means(learner, found, split)


def jackknife_values(statistics: np.ndarray, score: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Return each example's part in a score of summed counts: (N - 1) times what leaving it out takes away.

    Pseudo-values (Tukey 1958; Efron & Tibshirani 1993, chapter 11), shifted so that their mean is the score itself.
    Their standard error is the jackknife's of the score; for a mean they are the scores of the examples.

    Args:
        statistics: counts, (N, counts).
        score: (..., counts) -> (...).

    Shapes:
        statistics (N, counts) -> (N,)
    """
    total = statistics.sum(axis=0)
    without = score(total - statistics)
    values: np.ndarray = score(total) + (len(statistics) - 1) * (without.mean() - without)
    return values


def _parts_of(learner: Learner, examples: Any, summed: Mapping[str, Any]) -> Iterator[list[tuple[Any, Any]]]:
    """Yield the examples of each batch as pairs of output and target, each a batch of one; update metrics by batch."""
    size = learner.valid_batch_size
    cut = True
    for start in range(0, len(examples), size):
        indices = list(range(start, min(start + size, len(examples))))
        result, batch = _evaluate(learner, examples, indices)
        for name, metric in summed.items():
            options = {"batch": batch} if name in learner.metrics_with_batch else {}
            metric.update(result.output, result.target, **options)
        parts = _cut(learner, result, len(indices)) if cut else None
        if parts is None:
            cut = False
            parts = []
            for index in indices:
                alone = result if len(indices) == 1 else _evaluate(learner, examples, [index])[0]
                parts.append((alone.output, alone.target))
        yield parts


def _evaluate(learner: Learner, examples: Any, indices: Sequence[int]) -> tuple[Any, Any]:
    """Return the result of a batch, and the batch."""
    from lab.training.data import to_device

    batch = to_device(next(iter(learner.data.loader(examples, [indices]))), learner.device)
    return learner.stepper.valid_step(batch), batch


def _cut(learner: Learner, result: Any, count: int) -> list[tuple[Any, Any]] | None:
    """Return output and target of every example, or None if no cut of the batch gives its loss."""
    for dimension in (0, 1):
        outputs, targets = (_slices(value, dimension, count) for value in (result.output, result.target))
        if outputs is None or targets is None:
            continue
        parts = list(zip(outputs, targets, strict=True))
        try:
            rows = [_loss(learner, output, target) for output, target in parts]
        except (RuntimeError, IndexError, ValueError, TypeError):
            # the dimension is not that of examples, and the loss says so
            continue
        total = sum(weight for _, weight in rows)
        mean = sum(loss * weight for loss, weight in rows if weight) / total if total else math.nan
        if math.isclose(mean, float(result.loss), rel_tol=TOLERANCE, abs_tol=1e-6):
            return parts
    return None


def _slices(value: Any, dimension: int, count: int) -> list[Any] | None:
    """Return ``count`` slices of a nested value, each with one example; None if it has another structure."""
    import torch

    if isinstance(value, torch.Tensor):
        if value.dim() <= dimension or value.shape[dimension] != count:
            return None
        return [value.narrow(dimension, index, 1) for index in range(count)]
    if isinstance(value, (tuple, list)) and value:
        parts = [_slices(item, dimension, count) for item in value]
        if any(part is None for part in parts):
            return None
        build = value._make if hasattr(value, "_make") else type(value)
        return [build(items) for items in zip(*parts, strict=True)]  # type: ignore[arg-type]
    return None


def _loss(learner: Learner, output: Any, target: Any) -> tuple[float, float]:
    result = learner.stepper.evaluation(output, target)
    weight = float(result.weight)
    return (float(result.loss) if weight else 0.0), weight


def _row(learner: Learner, output: Any, target: Any, summed: Mapping[str, Any]) -> dict[str, float]:
    """Return loss, weight and metrics of one example, but for those that sum counts."""
    loss, weight = _loss(learner, output, target)
    row = {"loss": loss, "weight": weight}
    for name, metric in learner.metrics.items():
        if name in summed:
            continue
        # a metric that also takes the batch, or that fails or is undefined on one example, is no mean over examples
        row[name] = math.nan
        if name not in learner.metrics_with_batch:
            try:
                metric.reset()
                metric.update(output, target)
                value = float(metric.compute())
                row[name] = math.nan if getattr(metric, "undefined", "") else value
            except Exception:
                continue
            finally:
                metric.reset()
    return row


def _only_means(learner: Learner, found: Scores, split: str) -> Scores:
    """Leave out metrics whose mean over examples is not their value on the split."""
    whole = learner.validate(split) if learner.metrics else {}
    kept = {
        name
        for name in learner.metrics
        if np.isfinite(found[name]).all()
        and math.isclose(float(found[name].mean()), whole[f"{split}_{name}"], rel_tol=TOLERANCE, abs_tol=1e-6)
    }
    return {
        name: values for name, values in found.items() if name.removesuffix(STATISTICS) in {"loss", "weight", *kept}
    }


# --- keeping and reading ----------------------------------------------------------------------------------------------


def keep_scores(folder: Path, scores: Mapping[str, Any]) -> None:
    """Write scores of examples into the folder of a run, as float32.

    Training functions call it with ``run.folder``, so that ``lab by-example`` compares their runs too.

    Args:
        folder: of the run.
        scores: ``loss`` or metric → value of every example, (examples,), in the same order in every run. ``weight`` is
            that of an example in the mean loss, 1 by default; ``NAME statistics`` are counts (examples, counts).

    Raises:
        LabError: there is no score, or they are of different numbers of examples.
    """
    from safetensors.numpy import save_file

    arrays = {name: np.ascontiguousarray(values, dtype=np.float32) for name, values in scores.items()}
    lengths = {len(values) if values.ndim == 1 + name.endswith(STATISTICS) else -1 for name, values in arrays.items()}
    if len(lengths) != 1 or min(lengths) < 1:
        shapes = ", ".join(f"{name} {values.shape}" for name, values in arrays.items())
        raise LabError(
            f"scores of examples do not fit together: {shapes or 'there are none'}",
            where="keep_scores",
            hint="every score is a list with one number per example",
        )
    arrays.setdefault("weight", np.ones(lengths.pop(), dtype=np.float32))
    with atomic_path(folder / FILE, durable=False) as temporary:
        save_file(arrays, temporary)


def is_kept(run: RunRecord) -> bool:
    """Return whether a run has scores of examples."""
    return (run.folder / FILE).is_file() and not (run.folder / FILE).is_symlink()


def read_scores(run: RunRecord) -> Scores:
    """Return the scores that a run kept, each (examples,).

    Raises:
        LabError: it kept none, or the file is damaged.
    """
    return {name: values for name, values in _read(run).items() if not name.endswith(STATISTICS)}


def read_statistics(run: RunRecord) -> Scores:
    """Return the counts that a run kept by the name of their metric, each (examples, counts).

    Raises:
        LabError: it kept no scores, or the file is damaged.
    """
    found = _read(run).items()
    return {name.removesuffix(STATISTICS): values for name, values in found if name.endswith(STATISTICS)}


def _read(run: RunRecord) -> Scores:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    from lab.study.files import MAX_LONG_FILE, read_bytes

    hint = "lab by-example STUDY computes them from the weights in the store"
    try:
        found = load(read_bytes(run.folder / FILE, MAX_LONG_FILE))
    except FileNotFoundError:
        raise LabError(f"run {run.key} kept no scores of examples", where=str(run.folder), hint=hint) from None
    except SafetensorError as error:
        raise LabError(f"{FILE} of run {run.key} is damaged: {error}", where=str(run.folder), hint=hint) from error
    sizes = {values.shape[:1] for values in found.values()}
    is_sound = all(values.ndim == (2 if name.endswith(STATISTICS) else 1) for name, values in found.items())
    if "weight" not in found or len(sizes) != 1 or not is_sound:
        raise LabError(f"{FILE} of run {run.key} holds no scores of examples", where=str(run.folder), hint=hint)
    return {name: values.astype(np.float64) for name, values in found.items()}


def run_finished(run: Run, result: RunRecord) -> None:
    """Keep the scores of the validation examples of a run that has just finished, if that is cheap."""
    import torch

    if os.environ.get(SWITCH) == "0" or result.status != "finished" or run.experiment.task is not None:
        return
    if run.processes > 1 or torch.device(run.device).type != "cpu" or len(run.data.valid) > MAX_EXAMPLES:
        return
    seconds = result.budget.get("seconds", 0.0)
    if seconds < MIN_TRAINING_S:
        return
    try:
        learner = run.learner(result.folder)
        learner.load(result.path(str(result.result["selected"])))
        keep_scores(result.folder, scores_of_examples(learner, seconds=max(MIN_SECONDS, MAX_SHARE * seconds)))
    except TooSlowError:
        # lab by-example computes them when they are asked for
        return
    except Exception as error:
        # the run is finished and sound, so this ends nothing
        run.catalog.warn(
            f"lab: scores of the examples of run {run.key} are not kept: {describe_error(error)}\n"
            "  lab by-example STUDY computes them from the stored weights"
        )
