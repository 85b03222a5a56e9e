"""Example data for the conformance kit: small drawn pictures, and features of them."""

from __future__ import annotations

import atexit
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lab import use
from lab.testing import ComponentCase, ConformanceSupport, Example
from lab_vision.data import ImageBatch, ImageData, image_data
from lab_vision.layers import AveragePool
from lab_vision.transfer import FeatureData, Head, precompute

__all__ = ["SomeFeatures", "SomeLargePictures", "SomePictures", "support"]


class SomePictures(Example):
    """Stripes and squares, 16 × 16 in three colors: pictures (B, 3, 16, 16), classes (B,) of three."""

    has_flat_targets = False
    edge = 16

    def make_data(self) -> ImageData:
        return _drawn(self.edge, 30)

    def model(self) -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), AveragePool(), nn.Linear(4, 3))

    def loss(self, output: Any, target: Tensor) -> Tensor:
        return functional.cross_entropy(output, target)

    def output(self, batch: Any, generator: torch.Generator) -> Tensor:
        return torch.randn(len(batch[1]), 3, generator=generator)

    def perfect_output(self, batch: Any) -> Tensor:
        return 100 * functional.one_hot(batch[1], 3).float()

    def wrong_shape_batch(self, batch: Any) -> Any:
        return ImageBatch(torch.cat([batch.images, batch.images], 1), batch.target)


class SomeLargePictures(SomePictures):
    """Drawn pictures of 96 × 96 pixels, for networks that downsample a lot."""

    edge = 96

    def make_data(self) -> ImageData:
        return _drawn(self.edge, 12)


class SomeFeatures(SomePictures):
    """Features (B, 8) of the small pictures, classes (B,) of three."""

    def make_data(self) -> FeatureData:
        return precompute(_Body(), _drawn(16, 30), pool="concat")

    def model(self) -> nn.Module:
        return Head(8, 3, hidden=(), dropouts=0.0)

    def wrong_shape_batch(self, batch: Any) -> Any:
        return torch.cat([batch[0], batch[0]], 1), batch[1]


class _Body(nn.Module):
    width = 4

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        nn.init.constant_(self.conv.weight, 0.1)

    def features(self, images: Tensor) -> Tensor:
        found: Tensor = self.conv(images)
        return found


@cache
def _drawn(edge: int, count: int) -> ImageData:
    """Draw vertical stripes, horizontal stripes and squares, with noise."""
    generator = np.random.default_rng(0)
    position = np.arange(edge) * 16 // edge
    stripes = np.broadcast_to((position // 2 % 2)[None, :], (edge, edge))
    square = ((position >= 4) & (position < 12)).astype(int)
    shapes = np.stack([stripes, stripes.T, square[:, None] * square[None, :]])
    target = np.arange(count + count // 2) % 3
    noise = generator.integers(0, 60, (len(target), 3, edge, edge))
    pixels = (shapes[target][:, None] * 180 + noise).astype(np.uint8)
    return image_data(
        [(pixels[:count], target[:count]), (pixels[count:], target[count:])], ("upright", "level", "square")
    )


@cache
def _folder() -> str:
    """Write drawn pictures to files that are deleted when the process ends."""
    from PIL import Image

    folder = tempfile.TemporaryDirectory(prefix="lab-conformance-")
    atexit.register(folder.cleanup)
    data = _drawn(16, 30)
    for number, (pixels, target) in enumerate(zip(data.train.pixels, data.train.target, strict=True)):
        path = Path(folder.name) / data.class_names[int(target)] / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(path)
    rows = (f"{number},{data.class_names[int(target)]}" for number, target in enumerate(data.train.target))
    (Path(folder.name) / "labels.csv").write_text("\n".join(["id,label", *rows]) + "\n", encoding="utf-8")
    return folder.name


def support() -> ConformanceSupport:
    """Return the example data and how each component is tried."""
    small, large, features = ("some_pictures",), ("some_large_pictures",), ("some_features",)
    shrinking = {"alexnet": {"dense_size": 16}, "vgg": {"dense_size": 16}, "nin": {}}
    same = {"test_splits_are_disjoint": "the publisher's files contain some pictures twice"}
    return ConformanceSupport(
        examples={
            "some_pictures": SomePictures,
            "some_large_pictures": SomeLargePictures,
            "some_features": SomeFeatures,
        },
        cases={
            **{
                f"architectures.{name}": ComponentCase(use(name, **options), examples=large)
                for name, options in shrinking.items()
            },
            "architectures.head": ComponentCase(use("head", hidden=[4]), examples=features),
            "architectures.logits_head": ComponentCase(
                use("logits_head", body=use("course_net", widths=[4], output_size=7), body_size=7, hidden=[5]),
                examples=small,
            ),
            "architectures.transfer": ComponentCase(
                use("transfer", body=use("course_net", widths=[4, 8]), hidden=[4]), examples=small
            ),
            "callbacks.augment": ComponentCase(
                use(
                    "augment",
                    pad=2,
                    degrees=10.0,
                    zoom=1.1,
                    lighting=0.1,
                    cutout=4,
                    anywhere=True,
                    vertical=True,
                    area=[0.5, 1.0],
                    saturation=0.2,
                    hue=0.1,
                ),
                examples=small,
            ),
            "callbacks.kornia": ComponentCase(
                use("kornia", transforms={"RandomHorizontalFlip": {}, "RandomRotation": {"degrees": 10.0}}),
                examples=small,
            ),
            "callbacks.look_inside": ComponentCase(use("look_inside", count=2), examples=small),
            "datasets.cifar10": ComponentCase(use("cifar10", max_examples=300), exceptions=same),
            "datasets.digit_sets": ComponentCase(use("digit_sets", train=60, valid=30)),
            "datasets.dogs_cats": ComponentCase(use("dogs_cats", size=16)),
            "datasets.fashion_mnist": ComponentCase(use("fashion_mnist", max_examples=300), exceptions=same),
            "datasets.features": ComponentCase(use("features", images="digits", body=use("course_net", channels=1))),
            "datasets.image_folder": ComponentCase(use("image_folder", path=_folder(), size=16)),
            "datasets.image_table": ComponentCase(
                use("image_table", path=_folder(), labels=f"{_folder()}/labels.csv", size=16)
            ),
            "steppers.cut_mix": ComponentCase(use("cut_mix"), examples=small),
            "steppers.mix_up": ComponentCase(use("mix_up"), examples=small),
        },
    )
