"""Generated dataset of two interleaving half-circles, which are not linearly separable."""

from __future__ import annotations

import hashlib

import attrs
import torch
from torch.utils.data import TensorDataset

from lab import Data

__all__ = ["MoonsData", "moons"]


@attrs.define(eq=False, kw_only=True)
class MoonsData(Data):
    """Points in two classes.

    Attributes:
        input_size: 2.
        output_size: 2.
    """

    input_size: int = 2
    output_size: int = 2


def moons(*, count: int = 64, noise: float = 0.1, data_seed: int = 0) -> MoonsData:
    """Return points on two interleaving half-circles, a quarter of them for validation.

    Args:
        count: number of points.
        noise: standard deviation of both coordinates; the circles have radius 1.
        data_seed: seed of the dataset.

    Shapes:
        inputs (B, 2), target (B) long
    """
    generator = torch.Generator().manual_seed(data_seed)
    target = torch.randint(2, (count,), generator=generator)
    angle = torch.pi * torch.rand(count, generator=generator)
    side = 1.0 - 2.0 * target
    inputs = torch.stack([side * angle.cos() + target, side * angle.sin() + 0.5 * target], 1)
    inputs = inputs + noise * torch.randn(count, 2, generator=generator)
    cut = count * 3 // 4
    return MoonsData(
        train=TensorDataset(inputs[:cut], target[:cut]),
        valid=TensorDataset(inputs[cut:], target[cut:]),
        fingerprint=hashlib.sha256(inputs.numpy().tobytes() + target.numpy().tobytes()).hexdigest(),
    )
