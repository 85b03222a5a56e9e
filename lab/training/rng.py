"""Named random streams: one seed per run, one stream per purpose.

A stream's seed depends on (seed, purpose) alone, so a component that draws more or fewer numbers than another
disturbs no stream but its own. ``part`` carries the same idea into constructors: each named part of a model draws
its initial weights from its own stream, whatever was built before it.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
import torch

__all__ = ["Streams", "all_generators", "global_generator", "part", "seed_all_generators"]


def derive_seed(seed: int, *purpose: object) -> int:
    """A 63-bit seed from ``(seed, purpose)``: the first eight bytes of a sha256.

    >>> derive_seed(0, "sampler", 3) == derive_seed(0, "sampler", 3)
    True
    >>> derive_seed(0, "sampler") == derive_seed(1, "sampler")
    False
    """
    text = "/".join([str(seed), *map(str, purpose)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


class Streams:
    """The random streams of one run.

    Args:
        seed: the run's seed, any integer.
    """

    def __init__(self, seed: int) -> None:
        self.seed_of_run = seed
        self._generators: dict[str, torch.Generator] = {}

    def seed(self, *purpose: object) -> int:
        """The seed of the stream ``purpose``, for libraries that want a number."""
        return derive_seed(self.seed_of_run, *purpose)

    def generator(self, purpose: str, device: str | torch.device = "cpu") -> torch.Generator:
        """The generator of a stream; the same object at every call, so that its position is kept and checkpointed."""
        if purpose not in self._generators:
            generator = torch.Generator(device=device)
            self._generators[purpose] = generator.manual_seed(self.seed(purpose))
        return self._generators[purpose]

    def restart(self, purpose: str, *moment: object) -> torch.Generator:
        """The generator of a stream, set to the start of a moment such as an epoch."""
        return self.generator(purpose).manual_seed(self.seed(purpose, *moment))

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Position of every stream that was used, as byte tensors."""
        return {name: generator.get_state() for name, generator in self._generators.items()}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Put every stream back to a position that ``state_dict`` gave."""
        for name, position in state.items():
            self.generator(name).set_state(position)

    def return_to(self, state: dict[str, torch.Tensor]) -> None:
        """As ``load_state_dict``; streams that were first used since then are set to their start."""
        for name, generator in self._generators.items():
            if name not in state:
                generator.manual_seed(self.seed(name))
        self.load_state_dict(state)

    @contextmanager
    def initialising(self) -> Iterator[InitialParts]:
        """While a model is built: the global generator is the stream ``init``, and ``part`` gives parts their own."""
        parts = InitialParts(self)
        token = _building.set(parts)
        try:
            with global_generator(self.seed("init")):
                yield parts
        finally:
            _building.reset(token)


class InitialParts:
    """What is being initialised: the path of the current part, and the parts met so far."""

    def __init__(self, streams: Streams) -> None:
        self.streams = streams
        self.path: tuple[str, ...] = ()
        self.names: list[str] = []


_building: ContextVar[InitialParts | None] = ContextVar("lab_parts", default=None)


@contextmanager
def part(name: str) -> Iterator[None]:
    """Initialise what is built inside under the stream ``init/<name>``; parts nest.

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
    """Seed torch's global generators inside the block and put them back as they were after it."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()  # type: ignore[no-untyped-call]
    with torch.random.fork_rng(devices=list(devices)):
        seed_global_generators(seed)
        yield


def seed_all_generators(seed: int) -> None:
    """Seed the global generators of torch, Python and NumPy, each from a stream of its own."""
    seed_global_generators(seed)
    random.seed(derive_seed(seed, "python"))
    np.random.seed(derive_seed(seed, "numpy") % 2**32)


@contextmanager
def all_generators(seed: int) -> Iterator[None]:
    """Inside the block the global generators of torch, Python and NumPy start at ``seed``; then as they were."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with global_generator(seed):
            seed_all_generators(seed)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def seed_global_generators(seed: int) -> None:
    """As ``torch.manual_seed``, which also leaves a note, with a traceback, for every kind of device not in use yet."""
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(seed)
