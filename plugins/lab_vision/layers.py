"""Layers that the models share."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from lab.errors import ParameterError, ShapeError

__all__ = ["ConcatPool", "Norm", "WrittenBatchNorm", "check_images", "conv_norm_act", "make_pool"]

Norm = Literal["none", "written", "batch"]
Place = Literal["before", "after"]
Pool = Literal["average", "max", "concat"]


class WrittenBatchNorm(nn.BatchNorm2d):
    """Batch normalisation (Ioffe & Szegedy 2015) of (B, C, H, W), written out; it gives what ``nn.BatchNorm2d`` gives.

    Parameters and running averages are those of ``nn.BatchNorm2d``; the arithmetic stands below.

    In training x is scaled by the mean and the variance of the batch, the latter divided by n, and running averages are
    kept, of the variance divided by n - 1; in evaluation these are used. The course's ``BnLayer`` differs in four
    things: it divides by the deviation with n - 1 also in training, adds no eps, keeps no averages but uses the last
    training batch in evaluation, and calls weight and bias m and a.
    """

    def forward(self, x: Tensor) -> Tensor:
        if self.training or self.running_mean is None:
            count = x.numel() / x.shape[1]
            if self.training and count == 1:
                raise ShapeError(f"batch norm needs more than one value per channel in training, got {tuple(x.shape)}")
            mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)
            self._track(mean, variance * count / max(count - 1, 1))
        else:
            mean, variance = self.running_mean, self.running_var
        scale = (variance + self.eps).rsqrt()
        if self.weight is None:
            return (x - mean[:, None, None]) * scale[:, None, None]
        scale = self.weight * scale
        shift = self.bias - mean * scale
        return x * scale[:, None, None] + shift[:, None, None]

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor) -> None:
        if self.training and self.track_running_stats:
            self.num_batches_tracked.add_(1)
            # momentum None is torch's cumulative mean
            share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
            self.running_mean.lerp_(mean, share)
            self.running_var.lerp_(variance, share)


def conv_norm_act(
    before: int,
    after: int,
    kernel: int,
    *,
    stride: int = 1,
    padding: int | None = None,
    norm: Norm = "none",
    place: Place = "before",
) -> nn.Sequential:
    """A convolution, and ReLU, with a normalisation before or after ReLU; one before it replaces the bias."""
    padding = kernel // 2 if padding is None else padding
    conv = nn.Conv2d(before, after, kernel, stride, padding, bias=norm == "none" or place == "after")
    if norm == "none":
        return nn.Sequential(conv, nn.ReLU())
    normed = nn.BatchNorm2d(after) if norm == "batch" else WrittenBatchNorm(after)
    return nn.Sequential(conv, normed, nn.ReLU()) if place == "before" else nn.Sequential(conv, nn.ReLU(), normed)


class ConcatPool(nn.Module):
    """The largest and the mean of each channel side by side: (B, C, H, W) to (B, 2C), as in fast.ai's heads."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x.amax((2, 3)), x.mean((2, 3))], 1)


class AveragePool(nn.Module):
    """The mean of each channel: (B, C, H, W) to (B, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


class MaxPool(nn.Module):
    """The largest of each channel: (B, C, H, W) to (B, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.amax((2, 3))


def make_pool(pool: Pool) -> tuple[nn.Module, int]:
    """A pooling over the whole picture, and by how much it widens."""
    kinds: dict[str, tuple[type[nn.Module], int]] = {
        "average": (AveragePool, 1),
        "max": (MaxPool, 1),
        "concat": (ConcatPool, 2),
    }
    if pool not in kinds:
        raise ParameterError(f"there is no pooling '{pool}'", hint=", ".join(kinds))
    kind, factor = kinds[pool]
    return kind(), factor


def check_images(images: Tensor, channels: int, smallest: int = 1) -> None:
    """Raise a ShapeError unless pictures are (B, channels, H, W) and large enough."""
    if images.dim() != 4 or images.shape[1] != channels or min(images.shape[2:]) < smallest:
        raise ShapeError(
            f"pictures have the shape {tuple(images.shape)}, expected (B, {channels}, H, W) from {smallest} pixels on"
        )
