"""Callbacks: hooks of the training loop."""

from __future__ import annotations

import graphlib
import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from lab.errors import LabError, UnknownNameError
from lab.training.observed import keeps_scores, watched
from lab.training.state import Listener, Training

__all__ = ["Callback", "listeners_of", "order_callbacks"]


class Callback:
    """Base class of every callback.

    Each event X is a pair of methods, ``before_X(learner)`` and ``after_X(learner)``, for X in fit, epoch, batch,
    backward, step, validate and eval_weights. ``before_X`` runs in order; ``after_X`` runs in reverse order, for every
    callback whose ``before_X`` had its turn, and also when the body raised. A method that no subclass defines costs
    nothing.

    Attributes:
        name: how others refer to it; the class name in snake case unless given.
        before: names of callbacks that this one must come before.
        after: names of callbacks that this one must come after; ``"*"`` means all others without a constraint.
        metrics: columns that it adds to ``learner.history``, each with whether higher is better. Only a declared column
            can be compared, or followed by another callback.
        rehearse: whether the plan of a study calls ``before_fit`` once on a learner that is thrown away; False for
            callbacks that are expensive or act outside of the learner.
        observer: whether it only reads and records, and changes no number of the training. Adding, removing or changing
            an observer gives no run another key. One that is not part of ``lab`` is watched while it is called, and
            ends its run if it changes a number.
        acts_on_finished: whether ``after_fit``, called on a finished run with its history and last weights, leaves what
            this observer would have left while it trained. So it is where ``after_fit`` is all that it has.
        is_watched: set by ``lab`` on such an observer.
        is_foreign: set by ``lab`` on a callback that is no part of it, which may not overwrite losses and metrics.
        reads_metrics: whether it may decide by metrics or by the history while it trains. If no callback does, a metric
            may be added to a study without training anything again.
    """

    name: str = ""
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    metrics: Mapping[str, bool] = MappingProxyType({})
    rehearse: bool = True
    observer: bool = False
    acts_on_finished: bool = False
    is_watched: bool = False
    is_foreign: bool = False
    reads_metrics: bool = True

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "name" not in vars(cls):
            cls.name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()

    @classmethod
    def deciding_parameters(cls, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the parameters that can change a number; only they are part of a run's key."""
        return params

    def check(self, learner: Training) -> None:
        """Raise a LabError if this callback cannot work with this learner.

        Called before anything is trained, by preflight, too; ``learner.position`` has the length of the fit.
        """

    def remarks(self, learner: Training) -> Sequence[str]:
        """Return sentences for a reader of the plan, such as what this callback cannot do with this learner."""
        return ()

    def before_fit(self, learner: Training) -> None:
        """Before the first epoch; model and optimizer are ready."""

    def after_fit(self, learner: Training) -> None:
        """After the last epoch, also when training failed."""

    def before_epoch(self, learner: Training) -> None:
        """Before the batches of an epoch."""

    def after_epoch(self, learner: Training) -> None:
        """After training and validation of an epoch; ``learner.history[-1]`` is complete."""

    def before_batch(self, learner: Training) -> None:
        """Before a training step; ``learner.batch`` is on the device."""

    def after_batch(self, learner: Training) -> None:
        """After a training step; ``learner.step_loss`` is its loss."""

    def before_backward(self, learner: Training) -> None:
        """After the forward pass, before gradients."""

    def after_backward(self, learner: Training) -> None:
        """After the backward pass; gradients are computed."""

    def before_step(self, learner: Training) -> None:
        """Before the optimizer moves the weights."""

    def after_step(self, learner: Training) -> None:
        """After the optimizer moved the weights; gradients are not cleared yet."""

    def before_validate(self, learner: Training) -> None:
        """Before validation; the model is in evaluation mode."""

    def after_validate(self, learner: Training) -> None:
        """After validation; its metrics join ``learner.history[-1]`` before ``after_epoch``."""

    def before_eval_weights(self, learner: Training) -> None:
        """Put the evaluation weights (for example EMA) in place: for validation, and when the best are saved."""

    def after_eval_weights(self, learner: Training) -> None:
        """Put the weights that are trained back."""

    def state_dict(self) -> dict[str, Any]:
        """Return what must survive a crash: tensors and JSON values."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""


def listeners_of(callbacks: Iterable[Callback], event: str) -> list[Listener]:
    """Return the callbacks that override a method of an event, with these methods; base methods are never called."""
    names = (f"before_{event}", f"after_{event}")
    found: list[Listener] = []
    for callback in callbacks:
        before, after = (
            None if getattr(type(callback), name) is getattr(Callback, name) else getattr(callback, name)
            for name in names
        )
        if callback.is_watched:
            before, after = watched(callback, names[0], before), watched(callback, names[1], after)
        elif callback.is_foreign:
            before, after = keeps_scores(callback, names[0], before), keeps_scores(callback, names[1], after)
        if before or after:
            found.append((callback, before, after))
    return found


ALL_OTHERS = "*"


def order_callbacks(callbacks: Iterable[Callback]) -> list[Callback]:
    """Return callbacks in an order that honors ``before`` and ``after``; otherwise as given.

    Raises:
        LabError: the ordering constraints contradict each other; the message names the members of the cycle.
        UnknownNameError: two callbacks have the same name.
    """
    named: dict[str, Callback] = {}
    for callback in callbacks:
        if callback.name in named:
            raise UnknownNameError(
                f"two callbacks are called '{callback.name}'",
                hint="leave one out; or, if both are meant, let a class of your own have another attribute `name`",
            )
        named[callback.name] = callback
    waiting = _predecessors(named)
    try:
        graphlib.TopologicalSorter(waiting).prepare()
    except graphlib.CycleError as error:
        cycle = " → ".join(reversed(error.args[1]))
        raise LabError(
            f"callbacks cannot be ordered: {cycle}", hint="change `before` or `after` of one of them"
        ) from None
    ordered: list[Callback] = []
    while waiting:
        # the first that is free, so that the given order stays; TopologicalSorter would hand them out in its own
        name = next(name for name, earlier in waiting.items() if not earlier & waiting.keys())
        del waiting[name]
        ordered.append(named[name])
    return ordered


def _predecessors(named: dict[str, Callback]) -> dict[str, set[str]]:
    """Return for every callback the names of those that come earlier; constraints on absent callbacks are ignored."""
    earlier = {name: {other for other in callback.after if other in named} for name, callback in named.items()}
    for name, callback in named.items():
        for other in callback.before:
            if other in earlier:
                earlier[other].add(name)
    last = [name for name, callback in named.items() if ALL_OTHERS in callback.after]
    # two that ask to be last keep the order in which they were given
    for name in last:
        earlier[name] |= {other for other in named if other not in last and name not in earlier[other]}
    return earlier
