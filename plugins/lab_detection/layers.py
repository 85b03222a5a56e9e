"""Layers shared by the models: bodies, region pooling, upsampling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lab import part
from lab.errors import ParameterError, ShapeError

__all__ = [
    "Body",
    "ConvBody",
    "bilinear_kernel",
    "check_images",
    "conv_block",
    "foreign_body",
    "map_size",
    "roi_align",
    "roi_pool",
]

Body = Callable[..., nn.Module]


def check_images(images: Tensor, channels: int) -> None:
    """Raise a ShapeError unless pictures are (B, channels, H, W)."""
    if images.dim() != 4 or images.shape[1] != channels:
        raise ShapeError(f"pictures have the shape {tuple(images.shape)}, expected (B, {channels}, H, W)")


def conv_block(before: int, after: int, *, count: int = 2) -> nn.Sequential:
    """Return ``count`` 3 × 3 convolutions, each with batch norm and ReLU, which keep the size."""
    layers: list[nn.Module] = []
    for number in range(count):
        # Batch norm subtracts a bias again.
        layers += [nn.Conv2d(before if not number else after, after, 3, padding=1, bias=False)]
        layers += [nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers)


class ConvBody(nn.Module):
    """Body of stages of two 3 × 3 convolutions, each followed by max pooling: the base network of TinySSD.

    Args:
        channels: number of channels of the pictures.
        widths: channels of the stages.

    Shapes:
        (B, C, H, W) -> (B, widths[-1], H / 2^n, W / 2^n) for n stages
    """

    def __init__(self, channels: int, *, widths: Sequence[int] = (16, 32, 64)) -> None:
        super().__init__()
        stages = []
        for number, (before, after) in enumerate(pairwise([channels, *widths])):
            with part(f"stage{number}"):
                stages.append(nn.Sequential(conv_block(before, after), nn.MaxPool2d(2)))
        self.stages = nn.Sequential(*stages)
        self.width = int(widths[-1])

    def features(self, images: Tensor) -> Tensor:
        """Return the feature maps of the last stage."""
        found: Tensor = self.stages(images)
        return found

    def forward(self, images: Tensor) -> Tensor:
        return self.features(images)


def foreign_body(body: Body, channels: int, class_count: int, where: str) -> nn.Module:
    """Build a body and remove its last layer, which is not used.

    Raises:
        ParameterError: it has no ``features(images)`` or no ``width``, their number of channels.
    """
    with part("body"):
        made: Any = body(channels=channels, output_size=class_count)
    if not callable(getattr(made, "features", None)) or not isinstance(getattr(made, "width", None), int):
        raise ParameterError(
            f"{type(made).__name__} cannot be a body", where=where, hint="it needs features() and width"
        )
    # Left in place, the last layer would get no gradient.
    for name in ("fc", "output"):
        if isinstance(getattr(made, name, None), nn.Linear):
            setattr(made, name, nn.Identity())
    return made  # type: ignore[no-any-return]


def map_size(body: Any, channels: int, image_size: tuple[int, int]) -> tuple[int, int]:
    """Return height and width of the feature maps that a body makes of pictures."""
    was_training = body.training
    # In evaluation mode, since batch norm would count the empty picture.
    body.eval()
    try:
        with torch.no_grad():
            shape = body.features(torch.zeros(1, channels, *image_size)).shape
    except RuntimeError as error:
        raise ShapeError(f"pictures of {tuple(image_size)} pixels are too small for this body") from error
    finally:
        body.train(was_training)
    return int(shape[2]), int(shape[3])


def roi_align(features: Tensor, regions: Tensor, size: int, *, samples: int = 2) -> Tensor:
    """RoIAlign: features of regions at a fixed size, by bilinear interpolation (He et al. 2017, arXiv:1703.06870).

    Each of the ``size`` × ``size`` cells of a region is the mean of ``samples`` × ``samples`` points in it; no
    coordinate is rounded. Points are in fractions of the picture, with the center of pixel i at (i + 1/2) / n.

    Shapes:
        features (B, C, h, w), regions (B, R, 4) in fractions of the picture -> (B, R, C, size, size)
    """
    batch, count = regions.shape[:2]
    channels, points = features.shape[1], size * samples
    steps = (torch.arange(points, device=regions.device, dtype=regions.dtype) + 0.5) / points
    x = regions[..., 0:1] + (regions[..., 2:3] - regions[..., 0:1]) * steps  # (B, R, points)
    y = regions[..., 1:2] + (regions[..., 3:4] - regions[..., 1:2]) * steps
    grid = torch.stack([x.unsqueeze(2).expand(-1, -1, points, -1), y.unsqueeze(3).expand(-1, -1, -1, points)], -1)
    # All regions of a picture in one call: they are stacked below one another.
    grid = (2 * grid - 1).reshape(batch, count * points, points, 2).to(features.dtype)
    found = functional.grid_sample(features, grid, padding_mode="border", align_corners=False)
    pooled = functional.avg_pool2d(found, samples)  # (B, C, R · size, size)
    return pooled.reshape(batch, channels, count, size, size).transpose(1, 2)


def roi_pool(features: Tensor, regions: Tensor, size: int) -> Tensor:
    """RoI pooling: the largest value of each cell of a region, with rounded borders (Girshick 2015, arXiv:1504.08083).

    A region covers the pixels round(left · w) to round(right · w), the last included; cells overlap where its size is
    no multiple of ``size``, as in Fast R-CNN's code.

    Shapes:
        features (B, C, h, w), regions (B, R, 4) in fractions of the picture -> (B, R, C, size, size)
    """
    height, width = features.shape[2:]
    columns = _cells(regions[..., 0], regions[..., 2], width, size)  # (B, R, size, w)
    rows = _cells(regions[..., 1], regions[..., 3], height, size)
    pooled = []
    for picture, inside_rows, inside_columns in zip(features, rows, columns, strict=True):
        # First along rows, then along columns, which needs size times less memory than both at once.
        down = torch.stack(
            [
                picture.unsqueeze(1).masked_fill(~inside_rows[None, :, cell, :, None], -torch.inf).amax(2)
                for cell in range(size)
            ],
            2,
        )  # (C, R, size, w)
        across = torch.stack(
            [down.masked_fill(~inside_columns[None, :, cell, None, :], -torch.inf).amax(-1) for cell in range(size)], -1
        )  # (C, R, size, size)
        pooled.append(across.transpose(0, 1))
    found = torch.stack(pooled)
    # An empty cell, of a region outside of the picture, is 0.
    return torch.where(torch.isinf(found), torch.zeros_like(found), found)


def _cells(start: Tensor, stop: Tensor, length: int, size: int) -> Tensor:
    """Return which of ``length`` pixels lie in each cell of a region (B, R), as bool (B, R, size, length)."""
    first, last = (start * length).round(), (stop * length).round()
    span = (last - first + 1).clamp(min=1)
    cell = torch.arange(size, device=start.device, dtype=start.dtype)
    low = first.unsqueeze(-1) + (cell * span.unsqueeze(-1) / size).floor()
    high = first.unsqueeze(-1) + ((cell + 1) * span.unsqueeze(-1) / size).ceil()
    pixel = torch.arange(length, device=start.device, dtype=start.dtype)
    return (pixel >= low.unsqueeze(-1)) & (pixel < high.unsqueeze(-1))


def bilinear_kernel(channels: int, kernel: int) -> Tensor:
    """Return weights (C, C, k, k) with which a transposed convolution interpolates every channel by itself.

    *Dive into Deep Learning*, 13.11: a triangle in both directions, in the pair (c, c) of channels; 0 elsewhere.
    """
    center = kernel // 2 if kernel % 2 else (kernel - 1) / 2
    half = (kernel + 1) // 2
    line = 1 - (torch.arange(kernel, dtype=torch.float32) - center).abs() / half
    weights = torch.zeros(channels, channels, kernel, kernel)
    weights[range(channels), range(channels)] = line[:, None] * line[None]
    return weights
