"""Classic architectures of *Dive into Deep Learning*, chapter 8, each a function that returns a stack of layers.

Sections are those of the English edition; the second Chinese edition has the same ones in chapter 7.
The book's sizes are for pictures of 96 or 224 pixels. The input width of dense layers follows the size of the pictures;
weights have Xavier initialization, as in the book.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from lab_basics.checks import check_sizes
from torch import Tensor, nn

from lab.errors import ParameterError
from lab_vision.models import StackedNet, _flat_width, _xavier

__all__ = ["alexnet", "densenet", "googlenet", "nin", "vgg"]


def _finished(layers: Sequence[nn.Module], channels: int, smallest: int) -> StackedNet:
    model = StackedNet(nn.Sequential(*layers), channels, smallest)
    _xavier(model)
    return model


def _with_dense(
    features: Sequence[nn.Module],
    channels: int,
    image_size: tuple[int, int],
    output_size: int,
    width: int,
    smallest: int,
    where: str,
) -> StackedNet:
    """Append two dense layers with dropout, as in AlexNet and VGG."""
    check_sizes(where, dense_size=width)
    body = nn.Sequential(*features, nn.Flatten())
    flat = _flat_width(body, channels, image_size, smallest, where)
    dense = [
        nn.Linear(flat, width), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(width, width), nn.ReLU(), nn.Dropout(0.5), nn.Linear(width, output_size),
    ]  # fmt: skip
    return _finished([*body, *dense], channels, smallest)


def alexnet(channels: int, image_size: tuple[int, int], output_size: int, *, dense_size: int = 4096) -> StackedNet:
    """AlexNet (Krizhevsky, Sutskever & Hinton 2012) as in the book, section 8.1; for at least 63 pixels.

    Args:
        channels, image_size, output_size: facts of the data.
        dense_size: width of the two dense layers.
    """
    features = [
        nn.Conv2d(channels, 96, 11, stride=4, padding=1), nn.ReLU(), nn.MaxPool2d(3, stride=2),
        nn.Conv2d(96, 256, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, stride=2),
        nn.Conv2d(256, 384, 3, padding=1), nn.ReLU(), nn.Conv2d(384, 384, 3, padding=1), nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, stride=2),
    ]  # fmt: skip
    return _with_dense(features, channels, image_size, output_size, dense_size, 63, "architecture 'alexnet'")


def vgg(
    channels: int,
    image_size: tuple[int, int],
    output_size: int,
    *,
    blocks: Sequence[tuple[int, int]] = ((1, 16), (1, 32), (2, 64), (2, 128), (2, 128)),
    dense_size: int = 4096,
) -> StackedNet:
    """VGG-11 (Simonyan & Zisserman 2015) with a quarter of its channels, as in the book, section 8.2.

    Args:
        channels, image_size, output_size: facts of the data; every block halves the picture.
        blocks: number of convolutions and of channels of each block.
        dense_size: width of the two dense layers.
    """
    where = "architecture 'vgg'"
    check_sizes(where, blocks=blocks)
    features: list[nn.Module] = []
    before = channels
    for count, width in blocks:
        for _ in range(count):
            features += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()]
            before = width
        features.append(nn.MaxPool2d(2, stride=2))
    return _with_dense(features, channels, image_size, output_size, dense_size, 2 ** len(blocks), where)


def nin(channels: int, output_size: int) -> StackedNet:
    """Network in network (Lin, Chen & Yan 2014) as in the book, section 8.3; for at least 67 pixels.

    Args:
        channels, output_size: facts of the data.
    """

    def block(before: int, after: int, kernel: int, stride: int, padding: int) -> list[nn.Module]:
        layers: list[nn.Module] = [nn.Conv2d(before, after, kernel, stride, padding), nn.ReLU()]
        for _ in range(2):
            layers += [nn.Conv2d(after, after, 1), nn.ReLU()]
        return layers

    layers = [
        *block(channels, 96, 11, 4, 0), nn.MaxPool2d(3, stride=2),
        *block(96, 256, 5, 1, 2), nn.MaxPool2d(3, stride=2),
        *block(256, 384, 3, 1, 1), nn.MaxPool2d(3, stride=2), nn.Dropout(0.5),
        *block(384, output_size, 3, 1, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    ]  # fmt: skip
    return _finished(layers, channels, 67)


class _Inception(nn.Module):
    """Inception block of four parallel paths: 1×1; 1×1 and 3×3; 1×1 and 5×5; max pooling and 1×1."""

    def __init__(self, before: int, first: int, second: tuple[int, int], third: tuple[int, int], fourth: int) -> None:
        super().__init__()

        def conv(source: int, target: int, kernel: int) -> list[nn.Module]:
            return [nn.Conv2d(source, target, kernel, padding=kernel // 2), nn.ReLU()]

        self.paths = nn.ModuleList(
            [
                nn.Sequential(*conv(before, first, 1)),
                nn.Sequential(*conv(before, second[0], 1), *conv(*second, 3)),
                nn.Sequential(*conv(before, third[0], 1), *conv(*third, 5)),
                nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), *conv(before, fourth, 1)),
            ]
        )
        self.width = first + second[1] + third[1] + fourth

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([path(x) for path in self.paths], 1)


def googlenet(channels: int, output_size: int) -> StackedNet:
    """GoogLeNet (Szegedy et al. 2015) without auxiliary outputs, as in the book, section 8.4; for at least 17 pixels.

    Args:
        channels, output_size: facts of the data.
    """
    sizes: list[list[tuple[int, tuple[int, int], tuple[int, int], int]]] = [
        [(64, (96, 128), (16, 32), 32), (128, (128, 192), (32, 96), 64)],
        [
            *((192, (96, 208), (16, 48), 64), (160, (112, 224), (24, 64), 64), (128, (128, 256), (24, 64), 64)),
            *((112, (144, 288), (32, 64), 64), (256, (160, 320), (32, 128), 128)),
        ],
        [(256, (160, 320), (32, 128), 128), (384, (192, 384), (48, 128), 128)],
    ]
    layers: list[nn.Module] = [
        nn.Conv2d(channels, 64, 7, stride=2, padding=3), nn.ReLU(), nn.MaxPool2d(3, stride=2, padding=1),
        nn.Conv2d(64, 64, 1), nn.ReLU(), nn.Conv2d(64, 192, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(3, stride=2, padding=1),
    ]  # fmt: skip
    width = 192
    for number, stage in enumerate(sizes):
        for each in stage:
            block = _Inception(width, *each)
            layers.append(block)
            width = block.width
        if number < len(sizes) - 1:
            layers.append(nn.MaxPool2d(3, stride=2, padding=1))
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, output_size)]
    return _finished(layers, channels, 17)


class _DenseLayer(nn.Module):
    """Batch norm, ReLU and a convolution, whose output is concatenated to the input."""

    def __init__(self, before: int, growth: int) -> None:
        super().__init__()
        self.layer = nn.Sequential(nn.BatchNorm2d(before), nn.ReLU(), nn.Conv2d(before, growth, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.layer(x)], 1)


def densenet(channels: int, output_size: int, *, growth: int = 32, blocks: Sequence[int] = (4, 4, 4, 4)) -> StackedNet:
    """DenseNet (Huang et al. 2017) as in the book, section 8.7; for at least 32 pixels.

    Args:
        channels, output_size: facts of the data.
        growth: channels that each layer adds.
        blocks: number of layers of each block; transitions between blocks halve channels and edges.
    """
    if growth < 1 or not blocks:
        raise ParameterError(f"growth={growth}, blocks={list(blocks)}", where="architecture 'densenet'")
    check_sizes("architecture 'densenet'", blocks=blocks)
    width = 64
    layers: list[nn.Module] = [
        nn.Conv2d(channels, width, 7, stride=2, padding=3), nn.BatchNorm2d(width), nn.ReLU(),
        nn.MaxPool2d(3, stride=2, padding=1),
    ]  # fmt: skip
    for number, count in enumerate(blocks):
        for _ in range(count):
            layers.append(_DenseLayer(width, growth))
            width += growth
        if number < len(blocks) - 1:
            layers += [nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, width // 2, 1), nn.AvgPool2d(2, stride=2)]
            width //= 2
    layers += [nn.BatchNorm2d(width), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, output_size)]
    return _finished(layers, channels, 2 ** (len(blocks) + 1))
