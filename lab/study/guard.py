"""Watching components for changes to what belongs to the whole process: random generators and torch's defaults."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from lab.errors import PluginError

__all__ = ["guarded", "keeps_global_state"]


@contextmanager
def keeps_global_state(owner: str, *, draws: bool) -> Iterator[None]:
    """Inside the block, the process's random generators and torch's defaults must stay as they are.

    What was changed is put back, so that nobody else suffers from it.

    Args:
        owner: whose code runs, for the message.
        draws: whether it may draw from torch's global generator (a model does when it is initialised); seeding that
            generator is never allowed.

    Raises:
        PluginError: something was changed; the message names it and the owner.
    """
    before = _snapshot(draws=draws)
    yield
    changed = [name for name, value in _snapshot(draws=draws).items() if not _equal(value, before[name])]
    for name in changed:
        _RESTORE[name](before[name])
    if changed:
        raise PluginError(
            f"{owner} changes {' and '.join(changed)}, which belongs to the whole process",
            hint="draw from the generator that the contract offers; give dtype=... where tensors are made",
        )


@contextmanager
def guarded(owner: str) -> Iterator[None]:
    """``keeps_global_state`` for code that has no business with any random generator: an import."""
    with keeps_global_state(owner, draws=False):
        yield


def _snapshot(*, draws: bool) -> dict[str, Any]:
    state: dict[str, Any] = {
        "torch's default dtype": torch.get_default_dtype(),
        "Python's random generator": random.getstate(),
    }
    if "numpy" in sys.modules:
        state["numpy's random generator"] = sys.modules["numpy"].random.get_state()
    if draws:
        state["the seed of torch's random generator"] = torch.initial_seed()
    else:
        state["torch's random generator"] = torch.get_rng_state()
    return state


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, tuple) and any(hasattr(part, "tobytes") for part in one):  # numpy's state holds an array
        return all(map(_equal, one, other))
    same = one == other
    return same if isinstance(same, bool) else bool(same.all())


def _set_numpy(state: Any) -> None:
    sys.modules["numpy"].random.set_state(state)


_RESTORE: dict[str, Callable[[Any], Any]] = {
    "torch's default dtype": torch.set_default_dtype,
    "Python's random generator": random.setstate,
    "numpy's random generator": _set_numpy,
    "torch's random generator": torch.set_rng_state,
    "the seed of torch's random generator": torch.manual_seed,
}
