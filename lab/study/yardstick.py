"""The yardstick of a run: the examples and the rules that its scores were measured with.

Scores of two runs can be compared only if both were taken on the same validation examples. A run keeps a fingerprint of
them beside its scores, with further facts for a reader of a comparison: whether its loss depends on how batches are
cut, which parts drew their initial weights from streams of their own, and by which rule the epoch was chosen.
"""

from __future__ import annotations

import hashlib
import math
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import torch

from lab.training.checkpoint import BEST, Checkpoint
from lab.training.data import Data, to_device
from lab.training.weights import extra_state

if TYPE_CHECKING:
    from lab.training.learner import Learner
    from lab.training.stepper import Evaluation

__all__ = ["cut_losses", "depends_on_the_cut", "split_fingerprint", "yardstick_of"]

EXAMPLES = 32
"""Examples of a split, evenly spread, that are part of its fingerprint."""

TOLERANCE, LOW_PRECISION = 1e-4, 1e-2

_known: WeakKeyDictionary[Data, dict[str, str]] = WeakKeyDictionary()


def yardstick_of(learner: Learner, selected: str, arm: object) -> dict[str, Any]:
    """Return the yardstick of a finished run, as JSON.

    Args:
        learner: with the weights that were chosen.
        selected: the file of these weights.
        arm: what all seeds of an arm share; whether its loss depends on the batches is tried once for all of them.
    """
    rule = learner.callback("checkpoint")
    assert isinstance(rule, Checkpoint)
    splits = [split for split in ("valid", "test") if getattr(learner.data, split, None) is not None]
    return {
        "splits": {split: split_fingerprint(learner.data, split) for split in splits},
        "depends_on_batches": "valid" in splits and _depends_on_batches(learner, arm),
        "parts": list(learner.parts),
        "selection": {"rule": "best" if selected == BEST else "last", "monitor": rule.monitor},
    }


_depending: WeakKeyDictionary[object, bool] = WeakKeyDictionary()


def _depends_on_batches(learner: Learner, arm: object) -> bool:
    if arm not in _depending:
        _depending[arm] = cut_losses(learner) is not None
    return _depending[arm]


def split_fingerprint(data: Data, split: str) -> str:
    """Return a hash of the number of examples of a split and of the targets of some, evenly spread.

    Arms that prepare the same examples in another way (normalized, resized) have the same targets and stay comparable;
    other examples, and targets in other tokens, do not. Empty, which is comparable with all, if the examples cannot be
    read one after the other, or not twice alike.
    """
    known = _known.setdefault(data, {})
    if split not in known:
        examples = data.split(split)
        try:
            # read twice: targets that are drawn at random would differ between two arms with the same data
            with _generators_kept():
                first, again = (_hash_of_targets(data, examples) for _ in range(2))
        except Exception:
            # some data can only be batched by its own sampler; real failures are reported by validation itself
            first, again = "", ""
        known[split] = first if first == again else ""
    return known[split]


def _hash_of_targets(data: Data, examples: Any) -> str:
    count = len(examples)
    indices = sorted({round(place) for place in np.linspace(0, count - 1, min(count, EXAMPLES))})
    digest = hashlib.sha256(f"{count}".encode())
    for batch in data.loader(examples, [indices]):
        for part in _leaves(_target_of(batch)):
            digest.update(part)
    return digest.hexdigest()[:16]


def _target_of(batch: Any) -> Any:
    if hasattr(batch, "target"):
        return batch.target
    return batch[-1] if isinstance(batch, (tuple, list)) and batch else batch


def _leaves(value: Any) -> Iterator[bytes]:
    """Yield the content of a nested value, piece by piece."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        yield f"{value.dtype}{tuple(value.shape)}".encode()
        yield value.contiguous().flatten().view(torch.uint8).numpy().tobytes() if value.numel() else b""
    elif isinstance(value, np.ndarray):
        yield f"{value.dtype}{value.shape}".encode()
        yield value.tobytes() if value.dtype != object else repr(value.tolist()).encode()
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield repr(key).encode()
            yield from _leaves(item)
    elif isinstance(value, (tuple, list)):
        yield f"{len(value)}".encode()
        for item in value:
            yield from _leaves(item)
    elif isinstance(value, (str, bytes, int, float, bool, type(None))):
        yield repr(value).encode(errors="surrogatepass")
    else:
        yield type(value).__qualname__.encode()


@contextmanager
def _generators_kept() -> Iterator[None]:
    """Restore Python's, NumPy's and torch's generators after the block."""
    python, numpy = random.getstate(), sys.modules["numpy"].random.get_state()
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            random.setstate(python)
            sys.modules["numpy"].random.set_state(numpy)


# --- does the loss depend on how batches are cut? ---------------------------------------------------------------------


def cut_losses(learner: Learner) -> list[float] | None:
    """Return the loss of a validation batch and the weighted mean of its two halves, if the two differ.

    None if they agree, or if a batch cannot be cut: one example, or a model that carries state between batches.
    """
    examples = learner.data.split("valid")
    indices = list(range(min(len(examples), learner.valid_batch_size)))
    if len(indices) < 2 or extra_state(learner.model):
        return None
    with learner.evaluating():
        try:
            whole, *halves = (evaluate(learner, examples, part) for part in (indices, *halves_of(indices)))
        except Exception:
            # some models take batches of one size only
            return None
    return depends_on_the_cut(learner, whole, halves)


def depends_on_the_cut(learner: Learner, whole: Evaluation, halves: Sequence[Evaluation]) -> list[float] | None:
    """Return the loss of a batch and the weighted mean of its halves if they differ, None if they agree."""
    weights = [float(half.weight) for half in halves]
    losses = [float(half.loss.detach()) if weight else 0.0 for half, weight in zip(halves, weights, strict=True)]
    if not sum(weights) or not float(whole.weight):
        return None
    mean = sum(loss * weight for loss, weight in zip(losses, weights, strict=True)) / sum(weights)
    # bfloat16 keeps 8 bits, so two cuts of one batch differ by up to a percent
    is_exact = getattr(learner.stepper, "precision", "float32") == "float32"
    tolerance = TOLERANCE if is_exact else LOW_PRECISION
    loss = float(whole.loss)
    if not math.isfinite(loss) or math.isclose(loss, mean, rel_tol=tolerance, abs_tol=1e-7):
        # a loss that is not finite is reported elsewhere
        return None
    return [loss, mean]


def halves_of(indices: Sequence[int]) -> tuple[Sequence[int], Sequence[int]]:
    """Return two unequal parts: equal ones would hide a batch that counts by itself and not by its examples."""
    middle = max(1, len(indices) // 3)
    return indices[:middle], indices[middle:]


def evaluate(learner: Learner, examples: Any, indices: Sequence[int]) -> Evaluation:
    """Return the result of the validation step on some examples."""
    batch = next(iter(learner.data.loader(examples, [indices])))
    return learner.stepper.valid_step(to_device(batch, learner.device))
