"""VGG with the parameter names of published weights: a body for style transfer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from lab_text.corpora import Corpus, Download, find_corpus
from torch import Tensor, nn

from lab import part
from lab.errors import ParameterError
from lab_vision.layers import check_images
from lab_vision.weights import load_weights

__all__ = ["VGG", "vgg19_corpus"]

VGG19 = ((2, 64), (2, 128), (4, 256), (4, 512), (4, 512))
PUBLISHED = {"vgg19": "dcbb9e9d"}
"""Model → the first eight digits of the SHA-256 of its published weights, part of the file's name."""


class VGG(nn.Module):
    """VGG-19 (Simonyan & Zisserman 2015, arXiv:1409.1556) with one linear layer on averaged features.

    ``features`` has the layers and names of torchvision's (``features.0``, ``features.2`` …: convolutions, ReLUs and
    pooling, numbered together), so that its published weights load, and those layers can be named, as in *Dive into
    Deep Learning*, 13.12. Differs from the paper: the three dense layers, 86 % of all weights, are left out.

    Args:
        channels: number of channels of the pictures.
        output_size: number of classes.
        blocks: number of convolutions and of channels of each block, each followed by pooling; the default is VGG-19.
        weights: initial weights of the features: a ``.pth`` or ``.safetensors`` file, the folder of a finished run, or
            ``vgg19``, the published ones (``lab data get vgg19`` downloads 548 MB).
    """

    def __init__(
        self,
        channels: int,
        output_size: int,
        *,
        blocks: Sequence[Sequence[int]] = VGG19,
        weights: Path | None = None,
    ) -> None:
        super().__init__()
        if not blocks or any(len(block) != 2 or min(block) < 1 for block in blocks):
            raise ParameterError(
                f"blocks={[list(block) for block in blocks]}",
                where="architecture 'vgg19'",
                hint="for each block the number of convolutions and of channels, such as [[2, 64], [2, 128]]",
            )
        self.channels = channels
        layers: list[nn.Module] = []
        before = channels
        with part("features"):
            for count, width in blocks:
                for _ in range(count):
                    layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()]
                    before = width
                layers.append(nn.MaxPool2d(2))
            self.features = nn.Sequential(*layers)
        self.width = before
        with part("output"):
            self.fc = nn.Linear(before, output_size)
        for module in self.features:
            if isinstance(module, nn.Conv2d):
                # As torchvision does.
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                assert module.bias is not None
                nn.init.zeros_(module.bias)
        if weights is not None:
            name = str(weights)
            path = find_corpus(name).path("weights") if name in PUBLISHED else Path(weights)
            load_weights(
                self, path, output="fc", skip="classifier.", hint=f"a file, a run's folder, or: {', '.join(PUBLISHED)}"
            )

    def forward(self, images: Tensor) -> Tensor:
        check_images(images, self.channels)
        found: Tensor = self.fc(torch.relu(self.features(images)).mean((2, 3)))
        return found

    def layer_groups(self) -> list[list[nn.Module]]:
        """Return the first half of the layers, the second half, and the last layer."""
        layers = list(self.features)
        half = len(layers) // 2
        return [layers[:half], layers[half:], [self.fc]]


def vgg19_corpus() -> Corpus:
    """Weights of VGG-19, trained on ImageNet."""
    file = f"vgg19-{PUBLISHED['vgg19']}.pth"
    return Corpus(
        name="vgg19",
        title="Weights of VGG-19, trained on ImageNet",
        languages=("zxx",),
        license="BSD 3-Clause (PyTorch)",
        publisher="https://pytorch.org/vision/stable/models.html",
        files={"weights": (f"weights/{file}",)},
        downloads=(
            Download(
                f"https://download.pytorch.org/models/{file}",
                f"weights/{file}",
                574_673_361,
                sha256_starts=PUBLISHED["vgg19"],
            ),
        ),
    )
