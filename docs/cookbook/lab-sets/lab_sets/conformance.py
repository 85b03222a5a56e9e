"""What the conformance kit needs to try components of this family, also those of other plugins."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lab import use
from lab.testing import ComponentCase, Conformance, ConformanceSupport, Example, Finding, same
from lab_sets.data import NumberSets, SetBatch, number_sets
from lab_sets.models import DeepSets
from lab_sets.poolings import SetMean

__all__ = ["SetPoolingConformance", "SomeSets", "support"]


class SomeSets(Example):
    """Sets of up to four numbers."""

    has_flat_targets = False

    def make_data(self) -> NumberSets:
        """Return 32 sets."""
        return number_sets(count=32, largest=4)

    def model(self) -> nn.Module:
        """Return a small network over sets."""
        return DeepSets(1, 1, width=8, pooling=SetMean())

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the mean squared error."""
        return functional.mse_loss(output, target)

    def output(self, batch: Any, generator: torch.Generator) -> Tensor:
        """Return random numbers (B)."""
        return torch.randn(len(batch.target), generator=generator)

    def perfect_output(self, batch: Any) -> Tensor:
        """Return the targets."""
        target: Tensor = batch.target.clone()
        return target

    def wrong_shape_batch(self, batch: Any) -> SetBatch:
        """Return elements that are one number wider than they say."""
        return SetBatch(torch.cat([batch.elements, batch.elements], 2), batch.mask, batch.target)

    def with_extra_padding(self, batch: Any) -> SetBatch:
        """Return sets with two more places that hold no element, but a large number."""
        elements = torch.cat([batch.elements, torch.full_like(batch.elements[:, :1], 9.0).repeat(1, 2, 1)], 1)
        return SetBatch(elements, functional.pad(batch.mask, (0, 2)), batch.target)


class SetPoolingConformance(Conformance):
    """Checks of poolings over sets, which other plugins inherit."""

    kind = "set_poolings"

    def test_order_and_padding_change_nothing(self) -> None:
        """A set has no order, and what is padding is no element."""
        pooling = self.resolved.build({})
        elements = torch.tensor([[[1.0, -2.0], [3.0, 5.0], [0.5, 0.0]], [[4.0, 4.0], [9.0, 9.0], [9.0, 9.0]]])
        mask = torch.tensor([[True, True, True], [True, False, False]])
        pooled = pooling(elements, mask)
        if pooled.shape != (2, 2):
            raise Finding(f"{self.label} pools (2, 3, 2) to {tuple(pooled.shape)}, not to (2, 2)")
        if not same(pooling(elements.flip(1), mask.flip(1)), pooled):
            raise Finding(f"{self.label} depends on the order of elements", hint="use a symmetric function")
        changed = elements.masked_fill(~mask.unsqueeze(2), -7.0)
        if not same(pooling(changed, mask), pooled):
            raise Finding(f"{self.label} looks at padding", hint="leave out elements where mask is False")


def support() -> ConformanceSupport:
    """Return the example data, the checks, and how components are tried."""
    return ConformanceSupport(
        examples={"some_sets": SomeSets},
        kinds={"set_poolings": SetPoolingConformance},
        cases={"datasets.number_sets": ComponentCase(use("number_sets", count=32))},
    )
