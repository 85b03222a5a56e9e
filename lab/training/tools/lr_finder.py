"""Learning-rate range test: a short training in which the rate rises until the loss diverges.

Smith 2015, arXiv:1506.01186, section 3.3, in the form of fast.ai: the rate grows geometrically from step to step, the
loss is smoothed, and the model is restored afterwards.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from lab.errors import ParameterError
from lab.training.data import to_device
from lab.training.state import Training
from lab.training.tools.preserve import preserved

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["LearningRates", "find_lr", "longest_fall", "smoothed"]

MIN_STEPS = 10
"""Steps with a finite loss that a suggestion needs."""


@attrs.frozen
class LearningRates:
    """Result of a learning-rate range test.

    Attributes:
        rates: the learning rate of each step; of several layer groups, the last one's.
        raw_losses: the loss of each step.
        losses: the same, smoothed.
        steepest: the rate at which the smoothed loss falls fastest.
        valley: the rate in the middle of the longest stretch over which the smoothed loss falls.
        diverged: whether the sweep ended because the loss did.
    """

    rates: Sequence[float]
    raw_losses: Sequence[float]
    losses: Sequence[float]
    steepest: float
    valley: float
    diverged: bool

    @property
    def suggestion(self) -> float:
        """The rate to train with: ``valley``, which is less at the mercy of single batches than ``steepest``."""
        return self.valley

    @property
    def reason(self) -> str:
        """Why this rate, in one sentence that names what the sweep showed."""
        best = self.losses.index(min(self.losses))
        lowest = self.rates[best]
        if not best:
            return "though the loss never falls below its beginning: train longer (more steps), or begin lower"
        return (
            f"the middle of the longest stretch over which the smoothed loss falls; it is lowest at {lowest:.1e}, "
            f"{lowest / self.suggestion:.2g} × as high, and falls fastest at {self.steepest:.1e}"
        )

    def shown_losses(self) -> tuple[float, float]:
        """Return the range of losses to draw: the fall, and a little above it; divergence is cut off."""
        # a loss that does not fall is drawn with a range of 1
        low = min(self.losses)
        fall = max(self.losses[: self.losses.index(low) + 1]) - low or 1.0
        return low - 0.1 * fall, low + 1.5 * fall

    def plot(self) -> Figure:
        """Plot the smoothed loss over the rate, with the suggestion."""
        # Figure, not pyplot: no global state, no window
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6, 4), layout="constrained")
        axes = figure.add_subplot()
        axes.plot(self.rates, self.raw_losses, color="0.8", linewidth=1, label="loss")
        axes.plot(self.rates, self.losses, label="smoothed")
        rate = self.suggestion
        axes.axvline(rate, color="tab:green", linestyle="--", linewidth=1, label=f"suggestion {rate:.2g}")
        axes.set(xscale="log", xlabel="learning rate", ylabel="loss", ylim=self.shown_losses())
        axes.legend(loc="lower left")
        # pyplot is not loaded, so a notebook does not know how to show a figure
        figure._repr_png_ = self._repr_png_  # type: ignore[attr-defined]
        return figure

    def _repr_png_(self) -> bytes:
        """Return the plot, for notebooks."""
        import io

        buffer = io.BytesIO()
        self.plot().savefig(buffer, format="png", dpi=100)
        return buffer.getvalue()

    def __str__(self) -> str:
        end = "the loss diverged" if self.diverged else "the sweep reached its end"
        return (
            f"{len(self.rates)} steps from {self.rates[0]:.1e} to {self.rates[-1]:.1e}; {end}\n"
            f"suggestion: {self.suggestion:.1e}, {self.reason}"
        )


def find_lr(
    learner: Training,
    *,
    start: float = 1e-7,
    end: float = 10.0,
    steps: int = 100,
    smoothing: float = 0.98,
    divergence: float = 4.0,
) -> LearningRates:
    """Sweep the learning rate geometrically over ``steps`` steps; the learner is left as it was, to the last bit.

    Layer groups keep the ratios of their rates, and no callback is called.

    Args:
        learner: the learner; model, optimizer and random streams are restored.
        start, end: first and last rate, of the last layer group.
        steps: training steps; batches begin anew where the training split is shorter.
        smoothing: share of the old average in the smoothed loss, in [0, 1), corrected for its start.
        divergence: the sweep stops when the smoothed loss exceeds its best by this factor.

    Raises:
        ParameterError: rates that do not rise, too few steps, or a loss that diverges at once.
    """
    if not 0 < start < end < math.inf:
        raise ParameterError(f"the rate must rise from start to end, got start={start}, end={end}", where="find_lr")
    if steps < MIN_STEPS:
        raise ParameterError(f"a sweep needs at least {MIN_STEPS} steps, got {steps}", where="find_lr")
    if not 0 <= smoothing < 1:
        raise ParameterError(f"smoothing must lie in [0, 1), got {smoothing}", where="find_lr")
    rates = [start * (end / start) ** (step / (steps - 1)) for step in range(steps)]
    rates, losses, diverged = _sweep(learner, rates, smoothing, divergence)
    if len(losses) < MIN_STEPS:
        raise ParameterError(
            f"the loss diverged after {len(losses)} steps, at a learning rate of {rates[-1]:.2g}",
            where="find_lr",
            hint=f"begin lower than start={start:g}",
        )
    even = smoothed(losses, smoothing)
    # central differences
    slopes = [even[index + 1] - even[index - 1] for index in range(1, len(even) - 1)]
    steepest = 1 + slopes.index(min(slopes))
    return LearningRates(rates, losses, even, rates[steepest], rates[longest_fall(even)], diverged)


def _sweep(
    learner: Training, rates: Sequence[float], smoothing: float, divergence: float
) -> tuple[list[float], list[float], bool]:
    """Train at each rate, to the end or to divergence; returns rates, losses and whether it diverged."""
    losses: list[float] = []
    average, best = 0.0, math.inf
    batches = _endless(learner)
    groups = learner.optimizer.param_groups
    last = groups[-1]["initial_lr"]
    # a rate of 0 has no ratios
    ratios = [group["initial_lr"] / last if last else 1.0 for group in groups]
    with preserved(learner):
        learner.set_training_mode()
        for step, rate in enumerate(rates):
            for group, ratio in zip(learner.optimizer.param_groups, ratios, strict=True):
                group["lr"] = rate * ratio
            learner.batch = to_device(next(batches), learner.device)
            learner.distributed.prepare_step()
            loss = float(learner.stepper.train_step(learner.batch))
            average = smoothing * average + (1 - smoothing) * loss
            current = average / (1 - smoothing ** (step + 1))
            # a best of 0 or less cannot be exceeded by a factor
            if not math.isfinite(current) or (step >= MIN_STEPS and current > divergence * best and best > 0):
                return list(rates[: len(losses)]) or [rate], losses, True
            losses.append(loss)
            best = min(best, current)
    return list(rates), losses, False


def _endless(learner: Training) -> Iterator[Any]:
    """Yield training batches, epoch after epoch."""
    epoch = learner.epochs_done
    while True:
        learner.train_sampler.start_at(epoch)
        yield from learner.train_loader
        epoch += 1


def smoothed(losses: Sequence[float], smoothing: float) -> list[float]:
    """Return the exponential moving average, corrected for its start as in Adam.

    >>> smoothed([1.0, 1.0, 4.0], 0.5)
    [1.0, 1.0, 2.7142857142857144]
    """
    averages = itertools.accumulate(
        losses, lambda average, loss: smoothing * average + (1 - smoothing) * loss, initial=0.0
    )
    return [average / (1 - smoothing**step) for step, average in enumerate(averages) if step]


def longest_fall(losses: Sequence[float]) -> int:
    """Return the middle of the longest decreasing subsequence: fastai's suggestion ``valley``.

    >>> longest_fall([5.0, 6.0, 4.0, 3.0, 2.0, 9.0])
    2
    """
    # the quadratic algorithm: a sweep has a hundred steps
    length, before = [1] * len(losses), list(range(len(losses)))
    for here in range(len(losses)):
        for there in range(here):
            if losses[there] > losses[here] and length[there] + 1 > length[here]:
                length[here], before[here] = length[there] + 1, there
    last = max(range(len(losses)), key=length.__getitem__)
    first = last
    while before[first] != first:
        first = before[first]
    return (first + last) // 2
