"""Example data for the conformance kit: two small drawn pictures."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lab import use
from lab.testing import ComponentCase, ConformanceSupport, Example
from lab_style.data import StyleBatch, StyleData, two_pictures
from lab_style.losses import style_loss
from lab_style.models import StylePicture

__all__ = ["SomeStyle", "support"]


class SomeStyle(Example):
    """Content pictures (B, 3, 16, 20), and the distances (B, 3) that are wanted: zeros."""

    has_flat_targets = False
    kinds = ("architectures", "losses", "metrics", "callbacks", "steppers")

    def make_data(self) -> StyleData:
        return two_pictures(height=16, width=20, steps=32)

    def model(self) -> nn.Module:
        data = self.facts
        return StylePicture(3, data["content"], data["style"])

    def loss(self, output: Any, target: Tensor) -> Tensor:
        return style_loss(output, target)

    def output(self, batch: Any, generator: torch.Generator) -> Tensor:
        return torch.rand(len(batch.target), 3, generator=generator)

    def perfect_output(self, batch: Any) -> Tensor:
        return torch.zeros_like(batch.target)

    def wrong_shape_batch(self, batch: Any) -> Any:
        return StyleBatch(torch.cat([batch.content, batch.content], 1), batch.target)


def support() -> ConformanceSupport:
    """Return the example data and how each component is tried."""
    case = ComponentCase(examples=("some_style",))
    named = (
        *("architectures.style_picture", "losses.style_loss", "callbacks.picture_by_epoch"),
        "steppers.picture_step",
        *("metrics.content_distance", "metrics.style_distance", "metrics.roughness"),
    )
    same = {"test_splits_are_disjoint": "the only example is trained on and looked at: nothing is predicted"}
    return ConformanceSupport(
        examples={"some_style": SomeStyle},
        cases={
            **dict.fromkeys(named, case),
            "datasets.two_pictures": ComponentCase(use("two_pictures", height=16, width=20), exceptions=same),
        },
    )
