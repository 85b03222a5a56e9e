"""Support for the conformance kit: digits with word vectors, and the checks of indexes."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch
from lab_text.vectors import WordVectors
from torch import Tensor, nn

from lab import Data, use
from lab.testing import ComponentCase, Conformance, ConformanceSupport, Example, Finding, clear_error
from lab_devise.data import DeviseData, devise
from lab_devise.indexes import Index
from lab_devise.losses import cos_loss

__all__ = ["IndexConformance", "SomeNamedPictures", "support"]

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


class IndexConformance(Conformance):
    """The checks of indexes: a subclass of ``lab_devise.indexes.Index``."""

    kind = "indexes"

    def build(self) -> Index:
        """Return an index of 300 vectors of 8 numbers."""
        index = self.resolved.build({})
        if not isinstance(index, Index):
            raise Finding(f"{self.label} must be an Index, not a {type(index).__name__}")
        index.build(_vectors(300))
        return index

    def test_finds_a_vector_that_it_holds(self) -> None:
        """Itself first, at a cosine of 1, whatever the length of the query."""
        places, near = self.build().search(3 * _vectors(300)[:20], 5)
        if places[:, 0].tolist() != list(range(20)) or not np.allclose(near[:, 0], 1, atol=1e-4):
            raise Finding(f"{self.label} does not find its own vectors")

    def test_similarities_are_cosines_and_fall(self) -> None:
        """Of each query, the nearest first."""
        queries = _vectors(10, seed=1)
        places, near = self.build().search(queries, 6)
        rows = _vectors(300)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        queries /= np.linalg.norm(queries, axis=1, keepdims=True)
        if not np.allclose((rows[places] * queries[:, None]).sum(-1), near, atol=1e-4):
            raise Finding(f"{self.label} similarities are not cosines")
        if (np.diff(near, axis=1) > 1e-6).any():
            raise Finding(f"{self.label} does not sort by similarity")

    def test_one_query_is_answered_as_among_many(self) -> None:
        """Alone and in a batch."""
        index = self.build()
        many, alone = index.search(_vectors(5, seed=1), 3)[0], index.search(_vectors(5, seed=1)[:1], 3)[0]
        if many[0].tolist() != alone[0].tolist():
            raise Finding(f"{self.label} answers a query differently in a batch")

    def test_is_saved_and_loaded(self) -> None:
        """With the same answers."""
        index, again = self.build(), self.resolved.build({})
        with tempfile.TemporaryDirectory() as folder:
            index.save(Path(folder))
            again.load(Path(folder))
            if index.search(_vectors(9, seed=1), 4)[0].tolist() != again.search(_vectors(9, seed=1), 4)[0].tolist():
                raise Finding(f"{self.label} answers differently after saving and loading")

    def test_queries_of_another_width_are_refused(self) -> None:
        """And more neighbors than there are vectors."""
        index = self.build()
        clear_error(lambda: index.search(np.ones((1, 9), np.float32), 3), f"{self.label}: a query of 9 numbers")
        clear_error(lambda: index.search(np.ones((1, 8), np.float32), 301), f"{self.label}: 301 of 300 vectors")


def _vectors(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 8)).astype(np.float32)


def support() -> ConformanceSupport:
    """Return example data and the components to check on it."""
    here = ("some_named_pictures",)
    return ConformanceSupport(
        examples={"some_named_pictures": SomeNamedPictures},
        kinds={"indexes": IndexConformance},
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
