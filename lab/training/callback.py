"""Callbacks: what happens besides learning, at the moments that the loop names."""

from __future__ import annotations

import graphlib
import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from lab.errors import LabError, UnknownNameError, add_note, error_text

if TYPE_CHECKING:
    from lab.training.learner import Learner

__all__ = ["EVENTS", "Callback", "CancelBatch", "CancelEpoch", "CancelFit", "order_callbacks"]

EVENTS = ("fit", "epoch", "batch", "backward", "step", "validate", "judge")


class CancelBatch(Exception):
    """Raised in a callback: leave this batch, go on with the next."""


class CancelEpoch(Exception):
    """Raised in a callback: leave this epoch, go on with the next."""


class CancelFit(Exception):
    """Raised in a callback: stop training; what was learned is kept."""


class Callback:
    """Base class of every callback.

    Each event X is a pair of methods, ``before_X(learner)`` and ``after_X(learner)``, for X in fit, epoch, batch,
    backward, step, validate and judge. ``before_X`` runs in order; ``after_X`` runs in reverse order, for every
    callback whose ``before_X`` had its turn, and also when the body raised. A method that no subclass defines costs
    nothing.

    Attributes:
        name: how others refer to it; the class name in snake case unless given.
        before: names of callbacks that this one must come before.
        after: names of callbacks that this one must come after; ``"*"`` are all that do not say otherwise.
        metrics: columns that it adds to ``learner.history``, each with whether higher is better. Only a declared column
            can be compared, or followed by another callback.
        rehearse: whether the plan of a study calls ``before_fit`` once on a learner that is thrown away; False for what
            is expensive or acts outside of the learner.
        observer: it only looks on and writes down, and changes no number of the training. Adding, removing or changing
            an observer gives no run another key.
        reads_metrics: it may decide by metrics or by the history while it trains. Where no callback does, a metric may
            be added to a study without training anything again.
    """

    name: str = ""
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    metrics: Mapping[str, bool] = MappingProxyType({})
    rehearse: bool = True
    observer: bool = False
    reads_metrics: bool = True

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "name" not in vars(cls):
            cls.name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()

    @classmethod
    def deciding_parameters(cls, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Of the chosen parameters, those that can change a number; only they are part of a run's key."""
        return params

    def check(self, learner: Learner) -> None:
        """Raise a LabError where this callback cannot work with this learner.

        Called before anything is trained, by preflight, too; ``learner.position`` says how long the fit will be.
        """

    def before_fit(self, learner: Learner) -> None:
        """Before the first epoch; model and optimizer are ready."""

    def after_fit(self, learner: Learner) -> None:
        """After the last epoch, also when training failed."""

    def before_epoch(self, learner: Learner) -> None:
        """Before the batches of an epoch."""

    def after_epoch(self, learner: Learner) -> None:
        """After training and validation of an epoch; ``learner.history[-1]`` is complete."""

    def before_batch(self, learner: Learner) -> None:
        """Before a training step; ``learner.batch`` is on the device."""

    def after_batch(self, learner: Learner) -> None:
        """After a training step; ``learner.step_loss`` is its loss."""

    def before_backward(self, learner: Learner) -> None:
        """After the forward pass, before gradients."""

    def after_backward(self, learner: Learner) -> None:
        """Gradients are there."""

    def before_step(self, learner: Learner) -> None:
        """Before the optimizer moves the weights."""

    def after_step(self, learner: Learner) -> None:
        """The optimizer has moved the weights; gradients are still there."""

    def before_validate(self, learner: Learner) -> None:
        """Before validation; the model is in evaluation mode."""

    def after_validate(self, learner: Learner) -> None:
        """After validation; its figures join ``learner.history[-1]`` before ``after_epoch``."""

    def before_judge(self, learner: Learner) -> None:
        """Before the weights count, in validation and when the best are kept: others may take their place."""

    def after_judge(self, learner: Learner) -> None:
        """The weights that are trained come back."""

    def state_dict(self) -> dict[str, Any]:
        """What must survive a crash: tensors and JSON values."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what ``state_dict`` gave."""


class Events:
    """Which callbacks listen to what, looked up once; an event nobody listens to costs one dictionary look-up."""

    def __init__(self, callbacks: Sequence[Callback]) -> None:
        self._listeners = {
            event: [(c, *_methods(c, event)) for c in callbacks if _listens(c, event)] for event in EVENTS
        }

    def level(self, event: str, learner: Learner) -> Level:
        """The context in which the body of ``event`` runs."""
        return Level(event, self._listeners[event], learner)


class Level:
    """``before_X`` on entry, ``after_X`` in reverse on exit, also when the body raised.

    The first failure wins; a failure in a callback carries a note that says which callback, event, epoch and batch.
    """

    __slots__ = ("_entered", "_event", "_learner", "_listeners")

    def __init__(self, event: str, listeners: Sequence[tuple[Callback, Any, Any]], learner: Learner) -> None:
        self._event, self._listeners, self._learner = event, listeners, learner
        self._entered = 0

    def __enter__(self) -> None:
        if self._listeners:
            try:
                for callback, before, _ in self._listeners:
                    self._entered += 1
                    self._call(callback, "before", before)
            except BaseException as error:
                self._leave(error)
                raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if self._entered:
            failure = self._leave(error)
            if failure is not None and error is None:
                raise failure

    def _leave(self, error: BaseException | None) -> BaseException | None:
        for callback, _, after in reversed(self._listeners[: self._entered]):
            try:
                self._call(callback, "after", after)
            except BaseException as failure:
                if error is None:
                    error = failure
                else:
                    add_note(error, f"and then {type(failure).__name__}: {error_text(failure)}")
        return error

    def _call(self, callback: Callback, moment: str, method: Any) -> None:
        try:
            method(self._learner)
        except (CancelBatch, CancelEpoch, CancelFit):
            raise
        except BaseException as error:
            position = self._learner.position
            where = f"epoch {position.epoch}, batch {position.batch}"
            add_note(error, f"in callback '{callback.name}', {moment}_{self._event}, {where}")
            raise


EVERY = "*"


def order_callbacks(callbacks: Iterable[Callback]) -> list[Callback]:
    """Callbacks in an order that honours ``before`` and ``after``; otherwise as given.

    Raises:
        LabError: the wishes contradict each other; the message names the members of the cycle.
        UnknownNameError: two callbacks answer to the same name.
    """
    named: dict[str, Callback] = {}
    for callback in callbacks:
        if callback.name in named:
            raise UnknownNameError(
                f"two callbacks are called '{callback.name}'",
                hint="give one of them another name: its attribute `name`",
            )
        named[callback.name] = callback
    return [named[name] for name in _sorted_names(named)]


def _sorted_names(named: dict[str, Callback]) -> list[str]:
    wishes = _predecessors(named)
    try:
        graphlib.TopologicalSorter(wishes).prepare()
    except graphlib.CycleError as error:
        cycle = " → ".join(reversed(error.args[1]))
        raise LabError(
            f"callbacks cannot be ordered: {cycle}", hint="change `before` or `after` of one of them"
        ) from None
    waiting = dict(wishes)
    ordered: list[str] = []
    while waiting:
        ordered.append(next(name for name, earlier in waiting.items() if not earlier & waiting.keys()))
        del waiting[ordered[-1]]
    return ordered


def _predecessors(named: dict[str, Callback]) -> dict[str, set[str]]:
    """For every callback the names of those that must come earlier; wishes about absent callbacks do not count."""
    earlier = {name: {other for other in callback.after if other in named} for name, callback in named.items()}
    for name, callback in named.items():
        for other in callback.before:
            if other in earlier:
                earlier[other].add(name)
    last = [name for name, callback in named.items() if EVERY in callback.after]
    for name in last:
        earlier[name] |= {other for other in named if other not in last and name not in earlier[other]}
    return earlier


def _listens(callback: Callback, event: str) -> bool:
    kind = type(callback)
    return any(
        getattr(kind, f"{moment}_{event}", None) not in (None, getattr(Callback, f"{moment}_{event}"))
        for moment in ("before", "after")
    )


def _methods(callback: Callback, event: str) -> tuple[Any, Any]:
    return getattr(callback, f"before_{event}"), getattr(callback, f"after_{event}")
