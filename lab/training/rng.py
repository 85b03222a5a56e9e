"""Named random streams: one seed per run, one stream per purpose.

A stream's seed depends on (seed, purpose) alone, so a component that draws more or fewer numbers than another
disturbs no stream but its own. ``part`` carries the same idea into constructors: each named part of a model draws
its initial weights from its own stream, whatever was built before it.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import torch

__all__ = [
    "HELD_SEED",
    "SOURCES",
    "Streams",
    "all_generators",
    "global_generator",
    "global_random_state",
    "part",
    "seed_all_generators",
    "set_global_random_state",
]


SOURCES = ("init", "order", "dropout", "augment", "other")
"""Sources of randomness of a training: every stream belongs to exactly one."""

HELD_SEED = 0
"""Seed of the streams that do not vary with the run's."""

_SOURCE = {"init": "init", "sampler": "order", "workers": "order", "dropout": "dropout", "augment": "augment"}


def derive_seed(seed: int, *purpose: object) -> int:
    """Return a 63-bit seed for ``(seed, purpose)``: the first eight bytes of a sha256.

    >>> derive_seed(0, "sampler", 3) == derive_seed(0, "sampler", 3)
    True
    >>> derive_seed(0, "sampler") == derive_seed(1, "sampler")
    False
    """
    text = "/".join([str(seed), *map(str, purpose)])
    # torch takes signed 64-bit seeds
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def source_of_stream(*purpose: object) -> str:
    """Return the source of randomness that a stream belongs to, one of ``SOURCES``.

    >>> source_of_stream("init", "encoder"), source_of_stream("workers/valid"), source_of_stream("stepper")
    ('init', 'order', 'other')
    """
    return _SOURCE.get(str(purpose[0]).partition("/")[0], "other")


class Streams:
    """Random streams of one run.

    Args:
        seed: the run's seed, any integer.
        vary: the sources (``SOURCES``) whose streams follow that seed; the streams of the others have the same seed in
            every run. None: all follow it.
    """

    def __init__(self, seed: int, vary: Sequence[str] | None = None) -> None:
        self.seed_of_run, self.vary = seed, vary
        self._generators: dict[str, torch.Generator] = {}

    def seed(self, *purpose: object) -> int:
        """Return the seed of the stream ``purpose``, for libraries that take a number."""
        is_held = self.vary is not None and source_of_stream(*purpose) not in self.vary
        return derive_seed(HELD_SEED if is_held else self.seed_of_run, *purpose)

    def generator(self, purpose: str, device: str | torch.device = "cpu") -> torch.Generator:
        """Return the generator of a stream: the same object at every call, so that checkpoints hold its position."""
        if purpose not in self._generators:
            self._generators[purpose] = torch.Generator(device=device).manual_seed(self.seed(purpose))
        return self._generators[purpose]

    def restart(self, purpose: str, *moment: object) -> torch.Generator:
        """Return the generator of a stream, seeded for a moment such as an epoch."""
        return self.generator(purpose).manual_seed(self.seed(purpose, *moment))

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return the position of every stream that was used, as byte tensors."""
        return {name: generator.get_state() for name, generator in self._generators.items()}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Restore the positions that ``state_dict`` returned."""
        for name, position in state.items():
            self.generator(name).set_state(position)

    def return_to(self, state: dict[str, torch.Tensor]) -> None:
        """Restore positions as ``load_state_dict``; streams that are not in ``state`` go back to their start."""
        for name in self._generators.keys() - state.keys():
            self.restart(name)
        self.load_state_dict(state)

    @contextmanager
    def initializing(self) -> Iterator[InitialParts]:
        """Build a model: the global generator is the stream ``init``, and ``part`` gives parts their own streams."""
        # a context variable, so that constructors need no argument and threads do not disturb each other
        parts = InitialParts(self)
        token = _building.set(parts)
        try:
            with global_generator(self.seed("init")):
                yield parts
        finally:
            _building.reset(token)


class InitialParts:
    """Parts of the model that is being initialized: the path of the current one, and the names of all so far."""

    def __init__(self, streams: Streams) -> None:
        self.streams = streams
        self.path: tuple[str, ...] = ()
        self.names: list[str] = []


_building: ContextVar[InitialParts | None] = ContextVar("lab_parts", default=None)


@contextmanager
def part(name: str) -> Iterator[None]:
    """Initialize what is built inside under the stream ``init/<name>``; parts nest.

    Outside a run of ``lab`` this does nothing, so a model that uses it is an ordinary module.

    >>> with part("encoder"):
    ...     layer = torch.nn.Linear(2, 2)
    """
    parts = _building.get()
    if parts is None:
        yield
        return
    outer, parts.path = parts.path, (*parts.path, name)
    parts.names.append("/".join(parts.path))
    try:
        with global_generator(parts.streams.seed("init", *parts.path)):
            yield
    finally:
        parts.path = outer


@contextmanager
def global_generator(seed: int) -> Iterator[None]:
    """Seed torch's global generators inside the block and restore them after it."""
    # asking an uninitialized CUDA for its state would initialize it
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()  # type: ignore[no-untyped-call]
    with torch.random.fork_rng(devices=list(devices)):
        _seed_torch(seed)
        yield


@contextmanager
def all_generators(seed: int) -> Iterator[None]:
    """Seed the global generators of torch, Python and NumPy inside the block and restore them after it."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with global_generator(seed):
            seed_all_generators(seed)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def seed_all_generators(seed: int) -> None:
    """Seed the global generators of torch, Python and NumPy, each from a stream of its own."""
    _seed_torch(seed)
    random.seed(derive_seed(seed, "python"))
    # NumPy takes 32 bits
    np.random.seed(derive_seed(seed, "numpy") % 2**32)


def _seed_torch(seed: int) -> None:
    # torch.manual_seed also queues a call, with a traceback, for every kind of device that is not initialized yet
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(seed)


def global_random_state(device: torch.device) -> dict[str, Any]:
    """Return the position of the global generators of torch, Python and NumPy, as tensors and plain values."""
    numpy = np.random.get_state(legacy=False)
    state: dict[str, Any] = {"cpu": torch.get_rng_state(), "python": random.getstate()}
    if numpy["bit_generator"] == "MT19937":
        # int64, since torch's support of uint32 is partial
        keys = torch.from_numpy(numpy["state"]["key"].astype(np.int64))
        state["numpy"] = (keys, int(numpy["state"]["pos"]), int(numpy["has_gauss"]), float(numpy["gauss"]))
    return state | ({"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


def set_global_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Restore what ``global_random_state`` returned; checkpoints of earlier versions hold torch's generator alone."""
    torch.set_rng_state(state["cpu"])
    if "python" in state:
        random.setstate(state["python"])
    if "numpy" in state:
        keys, position, has_gauss, gauss = state["numpy"]
        np.random.set_state(("MT19937", keys.numpy().astype(np.uint32), position, has_gauss, gauss))
    if "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
