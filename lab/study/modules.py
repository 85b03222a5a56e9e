"""State of the user's modules: what ``lab`` runs leaves their generators as it found them.

A generator at the top of a module outlives a run. If the next run of the process went on with it, its numbers would
depend on the runs before it, which no key mentions.
"""

from __future__ import annotations

import logging
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import Any

import numpy as np
import torch

from lab.registry.places import STUDY
from lab.registry.resolved import Component
from lab.study.keys import local_modules

__all__ = ["generator_note", "leaves_modules"]

PLAIN = (bool, int, float, complex, str, bytes)
MAIN = "__main__"

log = logging.getLogger("lab")


@contextmanager
def leaves_modules(parts: Sequence[Component], owner: str = "") -> Iterator[None]:
    """Put the generators at the top of the user's modules back, after the block.

    Args:
        parts: the components whose modules are meant, with all that these import.
        owner: the run, for a warning of numbers and texts at the top of modules that it changed; empty for none.
    """
    modules = _modules_of(parts)
    restorers = [found for module in modules for _, value in _own(module) if (found := _restorer(value))]
    # of a notebook or a script, which may go on with them, no variable is a surprise
    before = {module.__name__: _plain(module) for module in modules if owner and module.__name__ != MAIN}
    try:
        yield
    finally:
        for restore in restorers:
            # an object that has lost its state in another way is left
            with suppress(TypeError, ValueError, RuntimeError):
                restore()
        for module in modules:
            now = _plain(module)
            changed = [name for name, value in before.get(module.__name__, {}).items() if now.get(name) != value]
            if changed:
                place = _shown(module) or "the study file"
                log.warning("%s changed %s of %s: later runs of this process may read it", owner, changed[0], place)


def generator_note(parts: Sequence[Component]) -> list[str]:
    """Return a note for the plan if a module of the user holds generators at its top."""
    found = [
        ".".join(filter(None, [_shown(module), name]))
        for module in _modules_of(parts)
        for name, value in _own(module)
        if _restorer(value)
    ]
    if not found:
        return []
    return [
        f"{found[0]} is a random generator at the top of a module: it begins anew in every run, the same for every "
        "seed, and no checkpoint holds it; draw from torch's, NumPy's or Python's global generator, or from run.streams"
    ]


def _shown(module: ModuleType) -> str:
    return "" if module.__name__.startswith((STUDY, MAIN)) else module.__name__


def _modules_of(parts: Sequence[Component]) -> list[ModuleType]:
    return [sys.modules[name] for name in local_modules(parts) if name in sys.modules]


def _own(module: ModuleType) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in list(vars(module).items()) if not name.startswith("__")]


def _plain(module: ModuleType) -> dict[str, Any]:
    return {name: value for name, value in _own(module) if isinstance(value, PLAIN)}


def _restorer(value: Any) -> Callable[[], None] | None:
    """Return a function that puts a generator back as it is now; None for everything else."""
    if isinstance(value, np.random.Generator):
        state = value.bit_generator.state
        return lambda: setattr(value.bit_generator, "state", state)
    if isinstance(value, np.random.RandomState):
        legacy = value.get_state()
        return lambda: value.set_state(legacy)
    if isinstance(value, random.Random) and not isinstance(value, random.SystemRandom):
        drawn = value.getstate()
        return lambda: value.setstate(drawn)
    if isinstance(value, torch.Generator):
        bits = value.get_state()
        return lambda: (value.set_state(bits), None)[1]
    return None
