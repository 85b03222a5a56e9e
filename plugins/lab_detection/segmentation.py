"""Models that give every pixel a class: fully convolutional networks and U-Net."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lab import part
from lab.errors import ParameterError, ShapeError
from lab_detection.layers import ConvBody, bilinear_kernel, check_images, conv_block, foreign_body, map_size

__all__ = ["FCN", "UNet"]

Upsample = Literal["bilinear", "random"]


class FCN(nn.Module):
    """Fully convolutional network (Long et al. 2015, arXiv:1411.4038): a body, scores, and a transposed convolution.

    A 1 × 1 convolution turns the body's map into scores of classes, which a transposed convolution enlarges to the
    picture's size, with a kernel of twice its stride, as in *Dive into Deep Learning*, 13.11.

    Args:
        channels, image_size, class_count: facts of the data.
        body: a model with ``features(images)`` and their ``width``, such as ``resnet18``; None is a body of
            convolutions.
        widths: channels of that body's stages, each of which halves the size.
        skips: enlarge step by step, and add the scores of the body's earlier stages, as FCN-16s and FCN-8s do; needs
            the body of convolutions.
        upsample: initial weights of transposed convolutions: ``bilinear`` interpolation, or ``random``.

    Shapes:
        (B, C, H, W) -> (B, H, W, K), classes last
    """

    def __init__(
        self,
        channels: int,
        image_size: tuple[int, int],
        class_count: int,
        *,
        body: Callable[..., nn.Module] | None = None,
        widths: Sequence[int] = (16, 32, 64),
        skips: bool = False,
        upsample: Upsample = "bilinear",
    ) -> None:
        super().__init__()
        where = "architecture 'fcn'"
        if upsample not in ("bilinear", "random"):
            raise ParameterError(f"unknown upsample '{upsample}'", where=where, hint="bilinear, random")
        if skips and body is not None:
            raise ParameterError("skips needs the maps of all stages", where=where, hint="body=None")
        self.channels, self.skips = channels, skips
        if body is None:
            with part("body"):
                self.body: Any = ConvBody(channels, widths=widths)
        else:
            self.body = foreign_body(body, channels, class_count, where)
        self.stride = _stride(map_size(self.body, channels, image_size), image_size, where)
        with part("scores"):
            self.scores = nn.Conv2d(self.body.width, class_count, 1)
        self.earlier, self.enlarge = nn.ModuleList(), nn.ModuleList()
        # With skips, each step doubles the size; the last one goes from the first stage's map to the picture.
        steps = [2] * len(widths) if skips else [self.stride]
        for number, step in enumerate(steps):
            with part(f"enlarge{number}"):
                self.enlarge.append(_enlarging(class_count, step, upsample))
        for number, width in enumerate(reversed(list(widths)[:-1]) if skips else []):
            with part(f"earlier{number}"):
                self.earlier.append(nn.Conv2d(width, class_count, 1))

    def forward(self, images: Tensor) -> Tensor:
        check_images(images, self.channels)
        _check_size(images, self.stride)
        maps = [images]
        if self.skips:
            for stage in self.body.stages:
                maps.append(stage(maps[-1]))
        else:
            maps.append(self.body.features(images))
        scores = self.scores(maps[-1])
        for number, enlarge in enumerate(self.enlarge):
            scores = enlarge(scores)
            if number < len(self.earlier):
                scores = scores + self.earlier[number](maps[-2 - number])
        return scores.permute(0, 2, 3, 1)

    def layer_groups(self) -> list[nn.Module | list[nn.Module]]:
        """Return the body, and everything that was made for masks."""
        return [self.body, [self.scores, self.earlier, self.enlarge]]


class UNet(nn.Module):
    """U-Net (Ronneberger et al. 2015, arXiv:1505.04597), in small.

    Stages of two convolutions, each followed by pooling, and as many that enlarge by a transposed convolution and see
    the map of the same size from the way down. Differs from the paper: convolutions keep the size, with batch norm, and
    there is one per stage on the way up, which learns faster in a short training.

    Args:
        channels, image_size, class_count: facts of the data.
        widths: channels of the stages from the picture down, the last without pooling. The smallest map must see whole
            objects: on drawn shapes of up to 29 of 48 pixels, five stages instead of four raised the mean intersection
            over union from 0.43 to 0.67.
        skips: give the maps of the way down to the way up; without, all that is known of places is in the smallest map.

    Shapes:
        (B, C, H, W) -> (B, H, W, K), classes last
    """

    def __init__(
        self,
        channels: int,
        image_size: tuple[int, int],
        class_count: int,
        *,
        widths: Sequence[int] = (12, 24, 48, 64, 64),
        skips: bool = True,
    ) -> None:
        super().__init__()
        if len(widths) < 2:
            raise ParameterError(f"widths={list(widths)}", where="architecture 'unet'", hint="at least two stages")
        self.channels, self.skips, self.stride = channels, skips, 2 ** (len(widths) - 1)
        if image_size[0] % self.stride or image_size[1] % self.stride:
            raise _no_fraction(image_size, self.stride, "architecture 'unet'")
        self.down, self.enlarge, self.up = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for number, (before, after) in enumerate(pairwise([channels, *widths])):
            with part(f"down{number}"):
                self.down.append(conv_block(before, after))
        for number, (after, before) in enumerate(reversed(list(pairwise(widths)))):
            with part(f"up{number}"):
                self.enlarge.append(nn.ConvTranspose2d(before, after, 2, stride=2))
                self.up.append(conv_block(2 * after if skips else after, after, count=1))
        self.pool = nn.MaxPool2d(2)
        with part("scores"):
            self.scores = nn.Conv2d(widths[0], class_count, 1)

    def forward(self, images: Tensor) -> Tensor:
        check_images(images, self.channels)
        _check_size(images, self.stride)
        x, passed = images, []
        for number, block in enumerate(self.down):
            x = block(self.pool(x) if number else x)
            passed.append(x)
        for number, (enlarge, block) in enumerate(zip(self.enlarge, self.up, strict=True)):
            x = enlarge(x)
            x = block(torch.cat([x, passed[-2 - number]], 1) if self.skips else x)
        found: Tensor = self.scores(x).permute(0, 2, 3, 1)
        return found


def _stride(maps: tuple[int, int], image_size: tuple[int, int], where: str) -> int:
    """Return by how much a body makes pictures smaller."""
    stride = image_size[0] // max(maps[0], 1)
    if min(maps) < 1 or (maps[0] * stride, maps[1] * stride) != tuple(image_size):
        raise _no_fraction(image_size, stride, where)
    return stride


def _no_fraction(image_size: tuple[int, int], stride: int, where: str) -> ShapeError:
    return ShapeError(
        f"pictures of {image_size[0]} × {image_size[1]} pixels cannot be made {stride} times smaller without a rest",
        where=where,
        hint=f"choose a size that is a multiple of {stride}",
    )


def _check_size(images: Tensor, stride: int) -> None:
    if images.shape[2] % stride or images.shape[3] % stride:
        raise ShapeError(f"pictures of {tuple(images.shape[2:])} pixels; both must be multiples of {stride}")


def _enlarging(classes: int, step: int, upsample: Upsample) -> nn.Module:
    if step == 1:
        return nn.Identity()
    # Kernel 2 s and padding s / 2 give s times the size; an odd stride needs one pixel of output padding less.
    layer = nn.ConvTranspose2d(classes, classes, 2 * step - step % 2, stride=step, padding=step // 2)
    if upsample == "bilinear":
        with torch.no_grad():
            layer.weight.copy_(bilinear_kernel(classes, layer.kernel_size[0]))
            layer.bias.zero_()
    return layer
