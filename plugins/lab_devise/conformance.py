"""Support for the conformance kit: digits with word vectors."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import attrs
import numpy as np
import torch
from lab_text.vectors import WordVectors
from torch import Tensor, nn

from lab import Data, use
from lab.testing import ComponentCase, ConformanceSupport, Example
from lab_devise.data import DeviseData, devise
from lab_devise.losses import cos_loss

__all__ = ["SomeNamedPictures", "support"]

WIDTH = 6


class SomeNamedPictures(Example):
    """Drawn pictures among words: pictures (B, 1, 8, 8), classes (B,) of six, of which two are held out."""

    has_flat_targets = False
    kinds = ("callbacks", "datasets", "losses", "metrics")

    def make_data(self) -> DeviseData:
        return _few()

    def model(self) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(64, WIDTH))

    def loss(self, output: Any, target: Tensor) -> Tensor:
        return cos_loss(output, target, self.facts["class_vectors"])

    def output(self, batch: Any, generator: torch.Generator) -> Tensor:
        return torch.randn(len(batch[1]), WIDTH, generator=generator)

    def perfect_output(self, batch: Any) -> Tensor:
        vectors: Tensor = self.facts["class_vectors"][batch[1]]
        return vectors.clone()

    def wrong_shape_batch(self, batch: Any) -> Any:
        return torch.cat([batch[0], batch[0]], -1), batch[1]


class _SomeVectors(WordVectors):
    """A vector for every word, drawn by its letters."""

    def find(self, words: Sequence[str], sentences: Any) -> tuple[int, dict[str, np.ndarray]]:
        draws = {word: np.random.default_rng(list(word.encode())) for word in words}
        return WIDTH, {word: draw.normal(size=WIDTH).astype(np.float32) for word, draw in draws.items()}


@attrs.define(eq=False, kw_only=True)
class _Drawn(Data):
    """Noise around a picture per class."""

    class_names: tuple[str, ...]


class _Pictures:
    def __init__(self, pixels: Tensor, target: Tensor) -> None:
        self.pixels, self.target = pixels, target

    def __len__(self) -> int:
        return len(self.target)

    def __getitems__(self, indices: Any) -> tuple[Tensor, Tensor]:
        return self.pixels[indices].float() / 128 - 1, self.target[indices]


@cache
def _few() -> DeviseData:
    generator = torch.Generator().manual_seed(0)
    # A pattern per class and little noise: a small model learns them in a few steps.
    shapes = 200 * (torch.rand(6, 1, 8, 8, generator=generator) < 0.5)
    splits = []
    for count in (30, 24):
        target = torch.arange(count) % 6
        noise = torch.randint(0, 55, (count, 1, 8, 8), generator=generator)
        splits.append(_Pictures((shapes[target] + noise).byte(), target))
    names = ("apple", "boat", "cat", "door", "egg", "fox")
    images = _Drawn(*splits, fingerprint="drawn", class_names=names)
    # WordNet is not needed: distances are made up below.
    data = devise(images, _SomeVectors(), held_out=("door", "fox"), searched="classes")
    return attrs.evolve(data, class_distances=(torch.arange(6)[:, None] - torch.arange(6)).abs())


def support() -> ConformanceSupport:
    """Return example data and the components to check on it."""
    here = ("some_named_pictures",)
    return ConformanceSupport(
        examples={"some_named_pictures": SomeNamedPictures},
        cases={
            **{
                f"losses.{name}": ComponentCase(use(name), examples=here)
                for name in ("cos_loss", "cosine_softmax", "hinge_rank", "vector_l1", "vector_l2")
            },
            "metrics.hit": ComponentCase(use("hit"), examples=here),
            "metrics.hierarchical_precision": ComponentCase(use("hierarchical_precision", k=2), examples=here),
            "callbacks.search_page": ComponentCase(use("search_page", count=2), examples=here),
            "datasets.devise": ComponentCase(use("devise", images="digits", searched="classes")),
        },
    )
