"""Checks of metrics."""

from __future__ import annotations

import inspect
import math
from typing import Any

import torch
from torch import Tensor

from lab.errors import describe
from lab.testing.conformance import Conformance, on_every_example
from lab.testing.example import Example
from lab.testing.finding import Finding
from lab.testing.probe import no_global_randomness, same, seeded

__all__ = ["MetricConformance"]


class MetricConformance(Conformance):
    """The checks of metrics: objects with ``update``, ``compute``, ``reset`` and ``higher_is_better``."""

    kind = "metrics"

    def build(self, example: Example) -> Any:
        """Return the metric for ``example``."""
        metric = self.resolved.build(example.facts)
        missing = [name for name in ("update", "compute", "reset", "higher_is_better") if not hasattr(metric, name)]
        if missing:
            raise Finding(f"{self.label} has no {' and no '.join(missing)}")
        return metric

    def try_on(self, example: Example) -> None:
        self._score(example, self.build(example))

    @on_every_example
    def test_gives_one_number(self, example: Example) -> None:
        """The score of an epoch is one finite number."""
        score = self._score(example, self.build(example))
        if not math.isfinite(score):
            raise Finding(f"{self.label} gives {score} for random outputs")

    @on_every_example
    def test_has_a_direction(self, example: Example) -> None:
        """``higher_is_better`` is true or false, and a perfect output is better in that direction."""
        metric = self.build(example)
        if not isinstance(metric.higher_is_better, bool):
            raise Finding(f"{self.label}: higher_is_better must be True or False, not {metric.higher_is_better!r}")
        other = self._score(example, metric)
        metric.reset()
        perfect = self._score(example, metric, perfect=True)
        # The direction decides which epoch and which arm is best.
        if perfect == other or (perfect > other) is not metric.higher_is_better:
            raise Finding(
                f"{self.label}: a perfect output scores {perfect:.4g}, a random one {other:.4g}, "
                f"but higher_is_better={metric.higher_is_better}"
            )

    @on_every_example
    def test_does_not_depend_on_the_batch_size(self, example: Example) -> None:
        """The score of an epoch is that of its examples, whatever the batch size."""
        size = len(example.data.split("valid"))
        # The last batch is smaller in most epochs: a mean of batch means would depend on the batch size.
        whole = [self._score(example, self.build(example), batch_size=count) for count in (size, max(1, size - 1), 2)]
        if not all(math.isclose(score, whole[0], rel_tol=1e-4, abs_tol=1e-6) for score in whole):
            scores = ", ".join(f"{score:.5g}" for score in whole)
            raise Finding(
                f"{self.label}: the same outputs in batches of other sizes score {scores}",
                hint="add up sums and counts in update, divide in compute",
            )

    @on_every_example
    def test_reset_clears_all_state(self, example: Example) -> None:
        """After ``reset`` an epoch scores as in a new metric; asked twice, a metric says the same."""
        metric = self.build(example)
        self._score(example, metric, perfect=True)
        metric.reset()
        score, fresh = self._score(example, metric), self._score(example, self.build(example))
        if not same(score, fresh):
            raise Finding(f"{self.label}: after reset it scores {score:.5g}, a new one {fresh:.5g}")
        # Progress displays ask a metric more than once per epoch.
        if not same(float(metric.compute()), score):
            raise Finding(f"{self.label}: compute gives another number when it is asked again")

    @on_every_example
    def test_does_not_change_its_arguments(self, example: Example) -> None:
        """Outputs and targets are not changed, and nothing is drawn from a global random state."""
        batch = example.batch("valid")
        output, target = example.output(batch, seeded()), example.target(batch)
        copies = _copy(output), _copy(target)
        metric = self.build(example)
        with no_global_randomness(self.label):
            _update(metric, output, target, batch)
            metric.compute()
        if not same((output, target), copies):
            raise Finding(f"{self.label} changes its arguments", hint="compute out of place")

    def _score(self, example: Example, metric: Any, *, perfect: bool = False, batch_size: int = 4) -> float:
        """Return the score on the validation split, for the same outputs however it is split into batches."""
        # Drawn once for the whole split, so that every batch size sees the same outputs.
        outputs = _outputs(example, perfect)
        done = 0
        for batch in example.batches("valid", batch_size):
            target = example.target(batch)
            count = target.shape[example.batch_dim]
            output = outputs.narrow(example.batch_dim, done, count)
            _update(metric, _cut(output, target, example), target, batch)
            done += count
        score = metric.compute()
        if isinstance(score, (str, bytes)):
            # float reads a text, too
            raise Finding(f"{self.label}: compute must give one number, not the text {score!r}")
        try:
            return float(score)
        except (TypeError, ValueError, RuntimeError) as error:
            raise Finding(f"{self.label}: compute must give one number, not {score!r}", hint=describe(error)) from error


def _outputs(example: Example, perfect: bool) -> Tensor:
    batch = example.batch("valid", len(example.data.split("valid")))
    return example.perfect_output(batch) if perfect else example.output(batch, seeded())


def _cut(output: Tensor, target: Tensor, example: Example) -> Tensor:
    """Return the steps of a time-first output that the targets of a smaller batch have."""
    return output[: len(target)] if example.batch_dim else output


def _update(metric: Any, output: Any, target: Any, batch: Any) -> None:
    with torch.no_grad():
        if "batch" in inspect.signature(metric.update).parameters:
            metric.update(output, target, batch=batch)
        else:
            metric.update(output, target)


def _copy(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value
