"""Poolings over sets."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["SetMax", "SetMean", "SetPooling", "SetSum"]


class SetPooling(nn.Module):
    """Contract of the registry ``set_poolings``: a function of the elements of a set, in any order.

    Shapes:
        elements (B, N, H), mask (B, N) bool, True = an element -> (B, H)
    """

    def forward(self, elements: Tensor, mask: Tensor) -> Tensor:
        """Pool the elements of each set."""
        raise NotImplementedError


class SetSum(SetPooling):
    """Sum of the elements."""

    def forward(self, elements: Tensor, mask: Tensor) -> Tensor:
        """Pool the elements of each set."""
        return elements.masked_fill(~mask.unsqueeze(2), 0).sum(1)


class SetMean(SetPooling):
    """Mean of the elements."""

    def forward(self, elements: Tensor, mask: Tensor) -> Tensor:
        """Pool the elements of each set."""
        return elements.masked_fill(~mask.unsqueeze(2), 0).sum(1) / mask.sum(1, keepdim=True)


class SetMax(SetPooling):
    """Maximum of the elements."""

    def forward(self, elements: Tensor, mask: Tensor) -> Tensor:
        """Pool the elements of each set."""
        return elements.masked_fill(~mask.unsqueeze(2), float("-inf")).amax(1)
