"""Example data for the conformance kit: a few ratings."""

from __future__ import annotations

from functools import cache
from typing import Any

import attrs
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lab import use
from lab.testing import ComponentCase, ConformanceSupport, Example
from lab_collab.data import RatingBatch, RatingsData, TimedRatingBatch, ratings_of_source
from lab_collab.models import DotBias, TimeBiases
from lab_collab.sources import generated

__all__ = ["SomeRatings", "TimedRatings", "support"]


class SomeRatings(Example):
    """Ratings of five users of the embedded corpus: users and items (B,), ratings (B,)."""

    has_flat_targets = False

    def make_data(self) -> RatingsData:
        return _few()

    def model(self) -> nn.Module:
        facts = self.facts
        needs = ("user_count", "item_count", "mean_rating", "rating_range")
        return DotBias(*(facts[name] for name in needs), n_factors=4)

    def loss(self, output: Any, target: Tensor) -> Tensor:
        return functional.mse_loss(output, target)

    def output(self, batch: Any, generator: torch.Generator) -> Tensor:
        return 3 + torch.randn(len(batch.target), generator=generator)

    def perfect_output(self, batch: Any) -> Tensor:
        return batch.target.clone()

    def wrong_shape_batch(self, batch: Any) -> Any:
        return RatingBatch(batch.users.unsqueeze(1), batch.items, batch.target)


class TimedRatings(SomeRatings):
    """The same ratings with their times: users, items and times (B,), ratings (B,)."""

    def make_data(self) -> RatingsData:
        return _few(times=True)

    def model(self) -> nn.Module:
        facts = self.facts
        needs = ("user_count", "item_count", "mean_rating", "rating_range", "time_span", "user_mean_times")
        return TimeBiases(*(facts[name] for name in needs), n_factors=4, bins=3)

    def wrong_shape_batch(self, batch: Any) -> Any:
        return TimedRatingBatch(batch.users.unsqueeze(1), batch.items, batch.times, batch.target)


@cache
def _few(*, times: bool = False) -> RatingsData:
    source = generated()[0]
    chosen = np.isin(source.users, [f"user {number}" for number in range(5)])
    parts = {name: getattr(source, name)[chosen] for name in ("users", "items", "ratings", "times")}
    return ratings_of_source(attrs.evolve(source, **parts), valid_share=0.4, times=times)


def support() -> ConformanceSupport:
    """Return the example data and how each component is tried."""
    here = ("some_ratings",)
    trials = {f"metrics.{name}": ComponentCase(use(name), examples=here) for name in ("hit_rate", "ndcg")}
    trials["datasets.ratings"] = ComponentCase(use("ratings", max_rows=120))
    trials["callbacks.item_map"] = ComponentCase(use("item_map", count=5, ranked=2), examples=here)
    trials["architectures.time_biases"] = ComponentCase(use("time_biases", bins=3), examples=("timed_ratings",))
    return ConformanceSupport(examples={"some_ratings": SomeRatings, "timed_ratings": TimedRatings}, cases=trials)
