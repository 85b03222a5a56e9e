"""Residual networks with the parameter names of published weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from lab_basics.checks import check_sizes
from lab_text.corpora import Corpus, Download, find_corpus
from torch import Tensor, nn

from lab import part
from lab.errors import ParameterError
from lab_vision.layers import check_images
from lab_vision.weights import load_weights

__all__ = ["ResNet", "load_published", "resnet18_corpus", "resnet34_corpus", "resnet50_corpus"]

Stem = Literal["large", "small"]
PUBLISHED = {"resnet18": "f37072fd", "resnet34": "b627a593", "resnet50": "0676ba61"}
"""Model → the first eight digits of the SHA-256 of its published weights, part of the file's name."""


class ResNet(nn.Module):
    """Residual network (He et al. 2016) with two or three convolutions per block.

    Parameters have the names and shapes of torchvision's (``conv1``, ``layer1.0.bn2``, ``layer2.0.downsample.0``,
    ``fc`` …), so that its published weights load; of three convolutions, the second has the stride.

    Args:
        channels: number of channels of the pictures.
        output_size: number of classes.
        blocks: blocks of the four stages: (2, 2, 2, 2) is ResNet-18, (3, 4, 6, 3) ResNet-34 and, with bottlenecks,
            ResNet-50.
        bottleneck: three convolutions per block, with four times as many output channels.
        width: channels of the first stage.
        stem: ``large`` is 7 × 7 with stride 2 and pooling, for at least 64 pixels; ``small`` is 3 × 3.
        preactivation: batch norm and ReLU before each convolution (He et al. 2016b); published weights do not fit.
        weights: initial weights: a ``.pth`` or ``.safetensors`` file, the folder of a finished run, or the name of
            published weights such as ``resnet34`` (``lab data get resnet34`` downloads them); the last layer is skipped
            if it is for other classes.
    """

    def __init__(
        self,
        channels: int,
        output_size: int,
        *,
        blocks: Sequence[int] = (2, 2, 2, 2),
        bottleneck: bool = False,
        width: int = 64,
        stem: Stem = "large",
        preactivation: bool = False,
        weights: Path | None = None,
    ) -> None:
        super().__init__()
        if len(blocks) != 4 or min(blocks) < 1:
            raise ParameterError(
                f"blocks={list(blocks)}", where="architecture 'resnet'", hint="four stages, such as 2,2,2,2"
            )
        check_sizes("architecture 'resnet'", width=width)
        self.channels, self.preactivation = channels, preactivation
        with part("stem"):
            kernel, stride = (7, 2) if stem == "large" else (3, 1)
            self.conv1 = nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False)
            self.bn1 = nn.BatchNorm2d(width)
        self.pool1 = nn.MaxPool2d(3, stride=2, padding=1) if stem == "large" else nn.Identity()
        kind = _Bottleneck if bottleneck else _Basic
        before = width
        for number, count in enumerate(blocks):
            after = width * 2**number
            stage = []
            for index in range(count):
                with part(f"layer{number + 1}.{index}"):
                    stage.append(kind(before, after, 2 if number and not index else 1, preactivation))
                before = after * kind.growth
            setattr(self, f"layer{number + 1}", nn.Sequential(*stage))
        self.last = nn.Sequential(nn.BatchNorm2d(before), nn.ReLU()) if preactivation else nn.Identity()
        self.width = before
        with part("output"):
            self.fc = nn.Linear(before, output_size)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                # As torchvision does.
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if weights is not None:
            load_published(self, weights)

    def features(self, images: Tensor) -> Tensor:
        """Return the feature maps (B, width, H / 32, W / 32) of the last stage; H / 8 with the small stem."""
        check_images(images, self.channels)
        x = self.conv1(images)
        if not self.preactivation:
            x = torch.relu(self.bn1(x))
        x = self.pool1(x)
        for stage in self._stages():
            x = stage(x)
        features: Tensor = self.last(x)
        return features

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.features(images).mean((2, 3)))
        return logits

    def layer_groups(self) -> list[list[nn.Module]]:
        """Return the stem and the first two stages, the last two stages, and the last layer."""
        first, second, third, fourth = self._stages()
        return [[self.conv1, self.bn1, first, second], [third, fourth, self.last], [self.fc]]

    def _stages(self) -> tuple[nn.Module, nn.Module, nn.Module, nn.Module]:
        return self.layer1, self.layer2, self.layer3, self.layer4


class _Block(nn.Module):
    """Base class: convolutions with a shortcut, which has a convolution if the shape changes."""

    growth = 1

    def __init__(self, before: int, sizes: Sequence[tuple[int, int, int]], stride: int, preactivation: bool) -> None:
        super().__init__()
        self.preactivation, self.count = preactivation, len(sizes)
        source = before
        for number, (width, kernel, step) in enumerate(sizes, 1):
            setattr(self, f"conv{number}", nn.Conv2d(source, width, kernel, step, kernel // 2, bias=False))
            setattr(self, f"bn{number}", nn.BatchNorm2d(source if preactivation else width))
            source = width
        self.downsample: nn.Module | None = None
        if stride != 1 or before != source:
            short: list[nn.Module] = [nn.Conv2d(before, source, 1, stride, bias=False)]
            self.downsample = nn.Sequential(*short, *([] if preactivation else [nn.BatchNorm2d(source)]))

    def forward(self, x: Tensor) -> Tensor:
        short = x if self.downsample is None else self.downsample(x)
        for number in range(1, self.count + 1):
            conv, norm = getattr(self, f"conv{number}"), getattr(self, f"bn{number}")
            if self.preactivation:
                x = conv(torch.relu(norm(x)))
            else:
                x = norm(conv(x))
                x = torch.relu(x) if number < self.count else x
        return x + short if self.preactivation else torch.relu(x + short)


class _Basic(_Block):
    """Basic block of two 3 × 3 convolutions."""

    def __init__(self, before: int, width: int, stride: int, preactivation: bool) -> None:
        super().__init__(before, [(width, 3, stride), (width, 3, 1)], stride, preactivation)


class _Bottleneck(_Block):
    """Bottleneck block of 1 × 1, 3 × 3 and 1 × 1 convolutions, the last four times as wide."""

    growth = 4

    def __init__(self, before: int, width: int, stride: int, preactivation: bool) -> None:
        super().__init__(before, [(width, 1, 1), (width, 3, stride), (4 * width, 1, 1)], stride, preactivation)


def load_published(model: nn.Module, weights: Path) -> None:
    """Load the weights of a file or a finished run, or published ones by name; see ``load_weights``."""
    name = str(weights)
    path = find_corpus(name).path("weights") if name in PUBLISHED else Path(weights)
    load_weights(model, path, output="fc", hint=f"a file, a run's folder, or one of: {', '.join(PUBLISHED)}")


def resnet18_corpus() -> Corpus:
    """Weights of ResNet-18, trained on ImageNet."""
    return _published("resnet18", 46_830_571)


def resnet34_corpus() -> Corpus:
    """Weights of ResNet-34, trained on ImageNet."""
    return _published("resnet34", 87_319_819)


def resnet50_corpus() -> Corpus:
    """Weights of ResNet-50, trained on ImageNet."""
    return _published("resnet50", 102_530_333)


def _published(name: str, size: int) -> Corpus:
    file = f"{name}-{PUBLISHED[name]}.pth"
    return Corpus(
        name=name,
        title=f"Weights of {name.replace('resnet', 'ResNet-')}, trained on ImageNet",
        languages=("zxx",),
        license="BSD 3-Clause (PyTorch)",
        publisher="https://pytorch.org/vision/stable/models.html",
        files={"weights": (f"weights/{file}",)},
        downloads=(
            Download(
                f"https://download.pytorch.org/models/{file}",
                f"weights/{file}",
                size,
                sha256_starts=PUBLISHED[name],
            ),
        ),
    )
