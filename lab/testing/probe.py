"""Tools of the checks: random state, differences between tensors, clear errors."""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lab.errors import LabError, describe
from lab.testing.finding import Finding

__all__ = ["clear_error", "flat_state", "leaves", "no_global_randomness", "no_seeding", "same", "seeded"]

_OWN = "take a torch.Generator instead, such as the sampler's `generator` or learner.streams.generator(...)"


def seeded(seed: int = 0) -> torch.Generator:
    """Return a generator that nothing else draws from."""
    return torch.Generator().manual_seed(seed)


@contextmanager
def no_global_randomness(who: str, *, torch_too: bool = True, hint: str = _OWN) -> Iterator[None]:
    """Raise a Finding if the block changes a global random state: torch's, NumPy's or Python's."""
    before = _global_states()
    yield
    after = _global_states()
    moved = [name for name in before if before[name] != after[name] and (torch_too or name != "torch")]
    if moved:
        raise Finding(f"{who} draws from the global random state of {' and '.join(moved)}", hint=hint)


@contextmanager
def no_seeding(who: str) -> Iterator[None]:
    """Raise a Finding if the block seeds a global generator: torch's, NumPy's or Python's."""
    libraries: list[str] = []
    places: list[tuple[Any, str]] = [(torch, "manual_seed"), (np.random, "seed"), (random, "seed")]
    kept = [getattr(owner, name) for owner, name in places]

    def watched(function: Callable[..., Any], library: str) -> Callable[..., Any]:
        def seed(*arguments: Any, **options: Any) -> Any:
            # lab itself seeds the generators of a run.
            if not sys._getframe(1).f_globals.get("__name__", "").startswith(("lab.", "torch.")):
                libraries.append(library)
            return function(*arguments, **options)

        return seed

    try:
        for (owner, name), function in zip(places, kept, strict=True):
            setattr(owner, name, watched(function, owner.__name__))
        yield
    finally:
        for (owner, name), function in zip(places, kept, strict=True):
            setattr(owner, name, function)
    if libraries:
        found = " and ".join(dict.fromkeys(libraries))
        raise Finding(f"{who} seeds the global generator of {found}", hint=_OWN)


def _global_states() -> dict[str, Any]:
    # The state of NumPy's generator is a tuple with an array in it.
    numbers: Any = np.random.get_state()
    return {
        "torch": torch.get_rng_state().numpy().tobytes(),
        "numpy": tuple(part.tobytes() if isinstance(part, np.ndarray) else part for part in numbers),
        "python": random.getstate(),
    }


def same(first: Any, second: Any, tolerance: float = 0.0) -> bool:
    """Return whether two values are equal: tensors in shape and content, containers item by item."""
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        if first.shape != second.shape:
            return False
        if not tolerance or not first.is_floating_point():
            return bool(torch.equal(first, second))
        return bool(torch.allclose(first, second, rtol=tolerance, atol=tolerance, equal_nan=True))
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        return first.keys() == second.keys() and all(same(first[key], second[key], tolerance) for key in first)
    if isinstance(first, (list, tuple)) and isinstance(second, (list, tuple)):
        return len(first) == len(second) and all(same(a, b, tolerance) for a, b in zip(first, second, strict=True))
    if isinstance(first, np.ndarray) or isinstance(second, np.ndarray):
        return bool(np.array_equal(first, second))
    # NaN is not equal to itself, but two NaN are the same result.
    return bool(first == second) or (first != first and second != second)


def leaves(loss: Tensor) -> list[Tensor]:
    """Return every leaf tensor that the gradient of ``loss`` reaches."""
    waiting, seen, found = [loss.grad_fn], set(), []
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        # Only the nodes that accumulate gradients hold a variable.
        variable = getattr(node, "variable", None)
        if variable is not None:
            found.append(variable)
        waiting += [following for following, _ in node.next_functions]
    return found


def clear_error(action: Callable[[], Any], what: str) -> None:
    """Raise a Finding unless ``action`` raises an error that says what does not fit."""
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            action()
    except LabError:
        return
    except Exception as error:
        # A clear message names the expected and the given size, or that two of them differ, as torch's layers do.
        says_what = re.search(r"(batch|shape|size|dim)\w*.*(equal|match|expected)", str(error), re.IGNORECASE)
        if len(re.findall(r"\d+", str(error))) < 2 and not says_what:
            raise Finding(
                f"{what} gives an error that does not say what is wrong: {describe(error)}",
                hint="check the shapes and raise lab.errors.ShapeError with what was expected and what was given",
            ) from error
        return
    raise Finding(f"{what} is accepted in silence", hint="check the shapes and raise lab.errors.ShapeError")


def flat_state(thing: Any, path: str = "", depth: int = 4) -> dict[str, Any]:
    """Return the plain values and tensors inside an object, by path."""
    if thing is None or isinstance(thing, (bool, int, float, str)):
        return {path: thing}
    if isinstance(thing, Tensor):
        return {path: thing.detach().clone()}
    # Models have a state_dict of their own, and functions no state.
    if isinstance(thing, (nn.Module, type)) or callable(thing) or not depth:
        return {}
    if isinstance(thing, Mapping):
        items = {str(key): value for key, value in thing.items()}
    elif isinstance(thing, (list, tuple)):
        items = {str(index): value for index, value in enumerate(thing)}
    else:
        items = getattr(thing, "__dict__", {})
    found: dict[str, Any] = {}
    for name, value in items.items():
        found |= flat_state(value, f"{path}.{name}" if path else name, depth - 1)
    return found
