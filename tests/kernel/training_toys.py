"""Small data and models for the tests of ``lab.training``."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.data import TensorDataset

from lab.training import Data, Learner

FEATURES, CLASSES = 4, 2


def toy_data(count: int = 96) -> Data:
    """Points of two classes that a line separates; three quarters train."""
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(count, FEATURES, generator=generator)
    labels = (points.sum(1) > 0).long()
    cut = count * 3 // 4
    return Data(TensorDataset(points[:cut], labels[:cut]), TensorDataset(points[cut:], labels[cut:]), fingerprint="toy")


def toy_model(dropout: float = 0.2) -> nn.Module:
    """A small network with dropout, the same weights every time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(FEATURES, 8), nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, CLASSES))


def toy_learner(**options: object) -> Learner:
    """A silent learner on the toy data."""
    settings: dict[str, object] = {"lr": 1e-2, "batch_size": 8, "progress": False, **options}
    return Learner(toy_model(), toy_data(), nn.functional.cross_entropy, **settings)  # type: ignore[arg-type]
