"""Watch over observers: callbacks that promise to change no number of the training, and have no part in a run's key.

A run that an observer changed would be found again by studies without it. So an observer that is not part of ``lab``
is watched while it is called: generators are put back whatever it draws, and a change of the weights, the optimizer,
the batch or the model's mode ends the run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from lab.errors import PluginError
from lab.training.rng import global_random_state, set_global_random_state
from lab.training.state import CancelBatch, CancelEpoch, CancelFit, Training

__all__ = ["keeps_scores", "watched"]

WHOLE_STEPS = 2
"""Steps of a fit in which every value is compared; later ones compare versions, which in-place operations count."""

INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
HISTORY = "the history"
EACH_STEP = ("batch", "backward", "step")


def watched(callback: Any, event: str, method: Callable[[Any], None] | None) -> Callable[[Any], None] | None:
    """Return a method of an observer that raises if it changes a number of the training.

    Args:
        callback: the observer.
        event: the name of the event, such as ``after_epoch``.
        method: its method; None is returned as it is.

    Raises:
        PluginError: (the returned method) something changed; the message names it, the observer and the event.
    """
    if method is None:
        return None

    def call(training: Training) -> None:
        is_whole = event.partition("_")[2] not in EACH_STEP or training.position.step < WHOLE_STEPS
        generators, before = global_random_state(training.device), dict(_numbers(training, is_whole=is_whole))
        try:
            method(training)
        except (CancelBatch, CancelEpoch, CancelFit) as error:
            raise _broken(callback, event, f"raises {type(error).__name__}") from error
        finally:
            set_global_random_state(generators, training.device)
        after = dict(_numbers(training, is_whole=is_whole))
        changed = [what for what in before if what not in after or before[what] != after[what]]
        # columns of its own are what many observers are for
        changed += [what for what in after if what not in before and not what.startswith(HISTORY)]
        if changed:
            raise _broken(callback, event, f"changes {changed[0]}")

    return call


def keeps_scores(callback: Any, event: str, method: Callable[[Any], None] | None) -> Callable[[Any], None] | None:
    """Return a method of a callback that raises if it overwrites a loss or the score of a metric.

    Raises:
        PluginError: (the returned method) it did; the message names the column, the callback and the event.
    """
    if method is None or event.partition("_")[2] in EACH_STEP:
        return method

    def call(training: Training) -> None:
        before = _scores(training)
        method(training)
        after = _scores(training)
        changed = [name for name, value in before.items() if after.get(name) != value]
        if changed:
            raise PluginError(
                f"callback '{callback.name}' changes {changed[0]} of {HISTORY} in {event}, which it does not compute",
                hint="add a column of its own, and declare it: metrics = {'valid_mine': True}",
            )

    return call


def _scores(training: Training) -> dict[str, str]:
    """Return the losses and scores of the newest row; NaN is not equal to itself, but its text is."""
    names = ("loss", *training.metrics)
    row = training.history[-1] if training.history else {}
    return {name: repr(value) for name, value in row.items() if name.partition("_")[2] in names}


def _broken(callback: Any, event: str, what: str) -> PluginError:
    return PluginError(
        f"callback '{callback.name}' {what} in {event}, though it says observer = True",
        hint="leave `observer` out: its runs get keys of their own then, and are not taken for runs without it",
    )


def _numbers(training: Training, *, is_whole: bool) -> Iterator[tuple[str, Any]]:
    """Yield what a training's numbers depend on, by its name in a message."""
    yield "the model, loss or stepper", tuple(map(id, (training.model, training.loss, training.stepper)))
    yield "the mode of the model (train or eval)", [each.training for each in training.model.modules()]
    groups = training.optimizer.param_groups
    yield "the settings of the optimizer", [{k: v for k, v in group.items() if k != "params"} for group in groups]
    for name, tensor in [*training.model.named_parameters(), *training.model.named_buffers()]:
        yield f"the weights ({name})", (_content(tensor, is_whole=is_whole), tensor.requires_grad)
        if tensor.grad is not None:
            yield f"the gradients ({name})", _content(tensor.grad, is_whole=is_whole)
    for name, value in (training.history[-1] if training.history else {}).items():
        # NaN is not equal to itself
        yield f"{HISTORY} ({name})", repr(value)
    for number, tensor in enumerate(_tensors(list(training.optimizer.state.values()))):
        yield f"the state of the optimizer (tensor {number})", _content(tensor, is_whole=is_whole)
    for number, tensor in enumerate(_tensors(training.batch)):
        yield f"the batch (tensor {number})", _content(tensor, is_whole=is_whole)


def _content(tensor: Tensor, *, is_whole: bool) -> Any:
    # a version alone would miss what is written through .data or NumPy
    value, digest = tensor.detach(), None
    if is_whole and value.layout is torch.strided and value.numel():
        plain = torch.view_as_real(value) if value.is_complex() else value
        # bits as integers: a sum of floats may round a change away, and an exclusive or may cancel it
        with suppress(RuntimeError):
            digest = int(plain.contiguous().view(INTEGERS[plain.element_size()]).sum(dtype=torch.int64))
    return id(tensor), 0 if tensor.is_inference() else tensor._version, tuple(value.shape), digest


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)
