"""Layers shared by the models."""

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
    """Batch normalization (Ioffe & Szegedy 2015) of (B, C, H, W), written out; equal to ``nn.BatchNorm2d``.

    In training, x is normalized by the mean and the biased variance (divisor n) of the batch, and running averages of
    the mean and the unbiased variance (n - 1) are updated; evaluation uses these. The course's ``BnLayer`` differs in
    four ways: it uses the unbiased standard deviation in training too, adds no eps, keeps no running averages but uses
    the last training batch in evaluation, and calls weight and bias m and a.
    """

    def forward(self, x: Tensor) -> Tensor:
        if self.training or self.running_mean is None:
            # nn.BatchNorm2d raises here too: the variance of one value is undefined.
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
    bias: bool | None = None,
) -> nn.Sequential:
    """Return a convolution with ReLU and, before or after it, normalization.

    ``bias`` None gives the convolution a bias unless a norm before ReLU replaces it.
    """
    # Keeps the size for odd kernels.
    padding = kernel // 2 if padding is None else padding
    if bias is None:
        bias = norm == "none" or place == "after"
    conv = nn.Conv2d(before, after, kernel, stride, padding, bias=bias)
    if norm == "none":
        return nn.Sequential(conv, nn.ReLU())
    normed = nn.BatchNorm2d(after) if norm == "batch" else WrittenBatchNorm(after)
    return nn.Sequential(conv, normed, nn.ReLU()) if place == "before" else nn.Sequential(conv, nn.ReLU(), normed)


class ConcatPool(nn.Module):
    """Global max and average pooling, concatenated: (B, C, H, W) to (B, 2C), as in fast.ai's heads."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x.amax((2, 3)), x.mean((2, 3))], 1)


class AveragePool(nn.Module):
    """Global average pooling: (B, C, H, W) to (B, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


class MaxPool(nn.Module):
    """Global max pooling: (B, C, H, W) to (B, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.amax((2, 3))


def make_pool(pool: Pool) -> tuple[nn.Module, int]:
    """Return a global pooling layer, and the factor by which it widens the features."""
    kinds: dict[str, tuple[type[nn.Module], int]] = {
        "average": (AveragePool, 1),
        "max": (MaxPool, 1),
        "concat": (ConcatPool, 2),
    }
    if pool not in kinds:
        raise ParameterError(f"unknown pooling '{pool}'", hint=", ".join(kinds))
    kind, factor = kinds[pool]
    return kind(), factor


def check_images(images: Tensor, channels: int, smallest: int = 1) -> None:
    """Raise a ShapeError unless pictures are (B, channels, H, W) and large enough."""
    if images.dim() != 4 or images.shape[1] != channels or min(images.shape[2:]) < smallest:
        raise ShapeError(
            f"pictures have the shape {tuple(images.shape)}, "
            f"expected (B, {channels}, H, W) with at least {smallest} pixels"
        )
