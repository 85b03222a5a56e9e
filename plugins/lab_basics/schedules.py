"""Learning-rate schedules; ``one_cycle`` is in the kernel, with their base class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from lab.errors import ParameterError
from lab.training.schedules import Schedule, anneal
from lab_basics.monitor import Monitor, finished_epoch

if TYPE_CHECKING:
    from lab.training import Learner

__all__ = [
    "CircularLR",
    "CosAnneal",
    "Cosine",
    "Cycle",
    "Cyclic",
    "Factor",
    "InverseSqrt",
    "MultiStep",
    "OnPlateau",
    "Warmup",
    "discriminative",
]


class Cycle(NamedTuple):
    """A cycle by its number (from 0), its first step, and its length in steps."""

    number: int
    start: int
    length: int


class Cyclic(Schedule):
    """Base class of cyclic schedules: cycles of whole epochs, each ``cycle_mult`` times as long as the previous one.

    At the end of a cycle, after the epoch's validation, ``on_cycle_end(learner, index)`` is called on this schedule and
    on every other callback that has this method. A subclass implements ``cycle_factor``.

    Args:
        cycle_len: epochs of the first cycle; None makes the whole fit one cycle.
        cycle_mult: ratio of the lengths of consecutive cycles.
        snapshot: save the weights at the end of each cycle as the artefact ``cycle-N.safetensors``.
    """

    def __init__(self, *, cycle_len: int | None = None, cycle_mult: int = 1, snapshot: bool = False) -> None:
        if cycle_len is not None and cycle_len < 1:
            raise self._error(f"cycle_len must be at least 1 epoch, got {cycle_len}")
        if cycle_mult < 1:
            raise self._error(f"cycle_mult must be at least 1, got {cycle_mult}")
        self.cycle_len, self.cycle_mult, self.snapshot = cycle_len, cycle_mult, snapshot

    def cycle_factor(self, step: int, cycle: Cycle) -> float:
        """Return the factor of the learning rate at ``step`` (from 0) of a cycle."""
        raise NotImplementedError

    def on_cycle_end(self, learner: Learner, index: int) -> None:
        """Act at the end of cycle ``index``."""

    def factor(self, step: int, steps: int, steps_per_epoch: int) -> float:
        cycle = self.cycle_at(step, steps, steps_per_epoch)
        return self.cycle_factor(step - cycle.start, cycle)

    def cycle_at(self, step: int, steps: int, steps_per_epoch: int) -> Cycle:
        """Return the cycle of ``step``."""
        cycle = Cycle(0, 0, steps if self.cycle_len is None else self.cycle_len * steps_per_epoch)
        while step >= cycle.start + cycle.length:
            cycle = Cycle(cycle.number + 1, cycle.start + cycle.length, cycle.length * self.cycle_mult)
        return cycle

    def check_length(self, steps: int, steps_per_epoch: int) -> None:
        if steps == 0:
            raise self._error("this fit has no steps, so a cycle has length 0")
        last = self.cycle_at(steps - 1, steps, steps_per_epoch)
        end = last.start + last.length
        if end > steps:
            before, after, run = (each // steps_per_epoch for each in (last.start, end, steps))
            raise self._error(
                f"cycle {last.number + 1} ends after epoch {after}, the run after epoch {run}",
                hint=f"set epochs={f'{before} or {after}' if before else after}, or change cycle_len and cycle_mult",
            )

    def after_epoch(self, learner: Learner) -> None:
        position = learner.position
        if finished_epoch(learner) is None:
            return
        step = (position.epoch + 1) * position.batches
        cycle = self.cycle_at(step - 1, position.steps, position.batches)
        if step == cycle.start + cycle.length:
            self._end_cycle(learner, cycle.number)

    def _end_cycle(self, learner: Learner, index: int) -> None:
        if self.snapshot:
            learner.save(learner.artefact(f"cycle-{index}.safetensors"))
        # Any callback may react to the end of a cycle, for example by averaging weights.
        for listener in (self, *(callback for callback in learner.callbacks if callback is not self)):
            if hasattr(listener, "on_cycle_end"):
                listener.on_cycle_end(learner, index)

    def _error(self, what: str, hint: str | None = None) -> ParameterError:
        return _schedule_error(self, what, hint)


class CosAnneal(Cyclic):
    """Cosine annealing with warm restarts (SGDR).

    Loshchilov & Hutter 2017, arXiv:1608.03983, equation 5, evaluated at every step. With ``slow_start=0.05`` it is
    ``CosAnneal`` of fast.ai 0.7, which spends the first twentieth of the first cycle at a hundredth of the rate.

    Args:
        cycle_len: epochs of the first cycle.
        cycle_mult: ratio of the lengths of consecutive cycles.
        min_factor: where the cosine ends, as a share of the learning rate.
        slow_start: share of the first cycle at a hundredth of the learning rate.
        snapshot: save the weights at the end of each cycle as the artefact ``cycle-N.safetensors``.

    Raises:
        ParameterError: a cycle has length 0, or the last cycle would end after the run.
    """

    def __init__(
        self,
        *,
        cycle_len: int = 1,
        cycle_mult: int = 1,
        min_factor: float = 0.0,
        slow_start: float = 0.0,
        snapshot: bool = False,
    ) -> None:
        super().__init__(cycle_len=cycle_len, cycle_mult=cycle_mult, snapshot=snapshot)
        self.min_factor, self.slow_start = min_factor, slow_start

    def cycle_factor(self, step: int, cycle: Cycle) -> float:
        if cycle.number == 0 and step < cycle.length * self.slow_start:
            return 0.01
        return anneal(1.0, self.min_factor, step / cycle.length)


class CircularLR(Cyclic):
    """Slanted triangular schedule: linear warm-up from ``lr / div`` to ``lr``, then linear decay back.

    The course's ``use_clr=(20, 10)``, ``CircularLR`` of fast.ai 0.7; Howard & Ruder 2018, arXiv:1801.06146, section
    3.2. The experiment's ``lr`` is the highest.

    Args:
        div: the lowest rate is ``lr / div``.
        cut_div: the rise takes one part in ``cut_div`` of the cycle's steps, rounded down.
        cycle_len: epochs of a cycle; None makes the whole fit one cycle, as the course did.
        cycle_mult: ratio of the lengths of consecutive cycles.
        momentum: highest and lowest momentum, cycled inversely to the learning rate; None keeps it constant.
        snapshot: save the weights at the end of each cycle as the artefact ``cycle-N.safetensors``.

    Raises:
        ParameterError: a cycle has length 0, or the last cycle would end after the run.
    """

    name = "clr"

    def __init__(
        self,
        *,
        div: float = 20.0,
        cut_div: float = 10.0,
        cycle_len: int | None = None,
        cycle_mult: int = 1,
        momentum: tuple[float, float] | None = None,
        snapshot: bool = False,
    ) -> None:
        super().__init__(cycle_len=cycle_len, cycle_mult=cycle_mult, snapshot=snapshot)
        if div <= 0 or cut_div < 1:
            raise self._error(f"div must be positive and cut_div at least 1, got div={div}, cut_div={cut_div}")
        self.div, self.cut_div, self.momentum = div, cut_div, momentum

    def cycle_factor(self, step: int, cycle: Cycle) -> float:
        return anneal(1 / self.div, 1.0, self._height(step, cycle.length), "linear")

    def momentum_at(self, step: int, steps: int, steps_per_epoch: int) -> float | None:
        if self.momentum is None:
            return None
        cycle = self.cycle_at(step, steps, steps_per_epoch)
        return anneal(*self.momentum, self._height(step - cycle.start, cycle.length), "linear")

    def _height(self, step: int, length: int) -> float:
        """Return 0 at the foot of the triangle and 1 at its peak."""
        cut = int(length / self.cut_div)
        if step < cut:
            return step / cut
        return 1 - (step - cut) / max(length - cut, 1)


class Warmup(Schedule):
    """Linear warm-up over the first steps, then constant.

    Goyal et al. 2017, arXiv:1706.02677, section 2.2. Multiplies with any other schedule.

    Args:
        epochs: length of the warm-up; fractions of an epoch are allowed.
        steps: length of the warm-up in steps, instead of ``epochs``.
        start_factor: initial factor of the learning rate.

    Raises:
        ParameterError: the warm-up is longer than the run.
    """

    def __init__(self, *, epochs: float = 1.0, steps: int | None = None, start_factor: float = 0.01) -> None:
        self.epochs, self.steps, self.start_factor = epochs, steps, start_factor

    def factor(self, step: int, steps: int, steps_per_epoch: int) -> float:
        length = self._length(steps_per_epoch)
        return anneal(self.start_factor, 1.0, step / length, "linear") if step < length else 1.0

    def check_length(self, steps: int, steps_per_epoch: int) -> None:
        _check_fits(self, "the warm-up", self._length(steps_per_epoch), steps)

    def _length(self, steps_per_epoch: int) -> int:
        return self.steps if self.steps is not None else round(self.epochs * steps_per_epoch)


class InverseSqrt(Schedule):
    """Linear warm-up, then the inverse square root of the step: ``min(n / warmup, √(warmup / n))`` for step n from 1.

    Vaswani et al. 2017, arXiv:1706.03762, section 5.3, as fairseq has it: the experiment's ``lr`` is the highest rate,
    which the paper's formula sets to ``(width · warmup)^-0.5``.

    Args:
        warmup_steps: steps of the warm-up, at least 1.

    Raises:
        ParameterError: ``warmup_steps`` is below 1, or the warm-up is longer than the run.
    """

    def __init__(self, *, warmup_steps: int = 4_000) -> None:
        if warmup_steps < 1:
            raise _schedule_error(self, f"warmup_steps must be at least 1, got {warmup_steps}")
        self.warmup_steps = warmup_steps

    def factor(self, step: int, steps: int, steps_per_epoch: int) -> float:
        number = step + 1
        return float(min(number / self.warmup_steps, (self.warmup_steps / number) ** 0.5))

    def check_length(self, steps: int, steps_per_epoch: int) -> None:
        _check_fits(self, "the warm-up", self.warmup_steps, steps)


class Factor(Schedule):
    """Exponential decay: multiply the learning rate by ``gamma`` every N epochs.

    Args:
        gamma: the factor, in (0, 1].
        every_epochs: number of epochs between decays, at least 1.
        min_factor: lower bound of the product of factors.
    """

    def __init__(self, *, gamma: float = 0.9, every_epochs: int = 1, min_factor: float = 0.0) -> None:
        _check_gamma(self, gamma)
        if every_epochs < 1:
            raise _schedule_error(self, f"every_epochs must be at least 1, got {every_epochs}")
        self.gamma, self.every_epochs, self.min_factor = gamma, every_epochs, min_factor

    def factor(self, step: int, steps: int, steps_per_epoch: int) -> float:
        return max(self.min_factor, self.gamma ** (step // (self.every_epochs * steps_per_epoch)))


class MultiStep(Schedule):
    """Step decay: multiply the learning rate by ``gamma`` at each milestone.

    Args:
        milestones: increasing numbers of finished epochs: ``(30, 60)``.
        gamma: the factor, in (0, 1].

    Raises:
        ParameterError: there are no milestones, they do not increase, or one is after the end of the run.
    """

    name = "multistep"

    def __init__(self, *, milestones: tuple[int, ...] = (), gamma: float = 0.1) -> None:
        _check_gamma(self, gamma)
        if not milestones or list(milestones) != sorted({*milestones}) or milestones[0] < 1:
            raise _schedule_error(
                self,
                f"milestones must be increasing epochs from 1 on, got {tuple(milestones)}",
                "for example milestones=(6, 9)",
            )
        self.milestones, self.gamma = tuple(milestones), gamma

    def factor(self, step: int, steps: int, steps_per_epoch: int) -> float:
        epoch = step // steps_per_epoch
        return self.gamma ** sum(milestone <= epoch for milestone in self.milestones)

    def check_length(self, steps: int, steps_per_epoch: int) -> None:
        epochs = steps // steps_per_epoch
        if self.milestones[-1] >= epochs:
            raise _schedule_error(
                self,
                f"milestone {self.milestones[-1]} is after the last epoch of a run of {epochs}",
                "use earlier milestones",
            )


class Cosine(Schedule):
    """Cosine annealing over the whole fit, after an optional linear warm-up.

    Args:
        warmup_epochs: length of the warm-up; fractions of an epoch are allowed.
        start_factor: initial factor of the warm-up.
        min_factor: final factor of the cosine.

    Raises:
        ParameterError: the warm-up is longer than the run.
    """

    def __init__(self, *, warmup_epochs: float = 0.0, start_factor: float = 0.01, min_factor: float = 0.0) -> None:
        self.warmup = Warmup(epochs=warmup_epochs, start_factor=start_factor)
        self.min_factor = min_factor

    def factor(self, step: int, steps: int, steps_per_epoch: int) -> float:
        start = round(self.warmup.epochs * steps_per_epoch)
        if step < start:
            return self.warmup.factor(step, steps, steps_per_epoch)
        return anneal(1.0, self.min_factor, (step - start) / (steps - start))

    def check_length(self, steps: int, steps_per_epoch: int) -> None:
        _check_fits(self, "the warm-up", round(self.warmup.epochs * steps_per_epoch), steps)


class OnPlateau(Schedule):
    """Multiply the learning rate by ``gamma`` when a metric has not improved for some epochs.

    The rule of ``torch.optim.lr_scheduler.ReduceLROnPlateau``. Its curve is flat in plots of schedules, since it
    depends on the training.

    Args:
        monitor: the metric, for example ``valid_loss`` or ``valid_accuracy``.
        gamma: the factor, in (0, 1].
        patience: number of epochs without improvement to tolerate; one more reduces the rate.
        min_delta: smallest change that counts as an improvement.
        cooldown: epochs after a reduction that are not counted.
        min_factor: lower bound of the product of factors.
    """

    def __init__(
        self,
        *,
        monitor: str = "valid_loss",
        gamma: float = 0.1,
        patience: int = 2,
        min_delta: float = 0.0,
        cooldown: int = 0,
        min_factor: float = 0.0,
    ) -> None:
        _check_gamma(self, gamma)
        self.monitor = Monitor(monitor, min_delta, self.name)
        self.gamma, self.patience, self.cooldown, self.min_factor = gamma, patience, cooldown, min_factor
        self._reductions = self._cooling = 0

    def factor(self, step: int, steps: int, steps_per_epoch: int) -> float:
        return max(self.min_factor, self.gamma**self._reductions)

    def check(self, learner: Learner) -> None:
        super().check(learner)
        self.monitor.check(learner)

    def before_fit(self, learner: Learner) -> None:
        super().before_fit(learner)
        self.monitor.begin(learner)
        if learner.position.step == 0:
            self._reductions = self._cooling = 0

    def after_epoch(self, learner: Learner) -> None:
        row = finished_epoch(learner)
        if row is None:
            return
        self.monitor.improved(learner, row)
        # As in torch, epochs during the cooldown do not count as bad.
        if self._cooling:
            self._cooling -= 1
            self.monitor.epochs_without = 0
        if self.monitor.epochs_without > self.patience:
            self._reductions += 1
            self._cooling = self.cooldown
            self.monitor.epochs_without = 0

    def state_dict(self) -> dict[str, Any]:
        return {"monitor": self.monitor.state_dict(), "reductions": self._reductions, "cooling": self._cooling}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.monitor.load_state_dict(state["monitor"])
        self._reductions, self._cooling = state["reductions"], state["cooling"]


def discriminative(lr: float, *, ratio: float = 2.6, groups: int = 5) -> slice:
    """Return discriminative learning rates, lower for earlier layers: the course's ``slice(lr / 2.6**4, lr)``.

    >>> discriminative(0.0456976, ratio=2.6, groups=5)
    slice(0.001, 0.0456976, None)

    Args:
        lr: learning rate of the last layer group.
        ratio: ratio of the learning rates of consecutive layer groups, if there are ``groups`` of them.
        groups: number of layer groups; the learner spreads the slice over those of the model.
    """
    return slice(lr / ratio ** (groups - 1), lr)


def _check_fits(schedule: Schedule, what: str, length: int, steps: int) -> None:
    if length < 0:
        raise _schedule_error(schedule, f"{what} cannot last {length} steps")
    if length > steps:
        raise _schedule_error(
            schedule, f"{what} of {length} steps is longer than the run of {steps} steps", "shorten it or train longer"
        )


def _check_gamma(schedule: Schedule, gamma: float) -> None:
    if not 0 < gamma <= 1:
        raise _schedule_error(schedule, f"gamma must lie in (0, 1], got {gamma}")


def _schedule_error(schedule: Schedule, what: str, hint: str | None = None) -> ParameterError:
    return ParameterError(what, where=f"callback '{schedule.name}'", hint=hint)
