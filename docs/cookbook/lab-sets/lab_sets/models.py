"""Networks over sets."""

from __future__ import annotations

from torch import Tensor, nn

from lab import part
from lab_sets.poolings import SetPooling

__all__ = ["DeepSets"]


class DeepSets(nn.Module):
    """Deep sets, ``rho(pool(phi(x) for x in set))``. Zaheer et al. 2017, arXiv:1703.06114, theorem 2.

    Differs from the paper: the pooling, there a sum, can be chosen.

    Args:
        element_size: width of an element.
        output_size: width of the output; with 1, the output has no last dimension.
        width: of the hidden layers of both networks.
        pooling: a component of the registry ``set_poolings``.

    Shapes:
        elements (B, N, element_size), mask (B, N) bool, True = an element -> (B, output_size), or (B)
    """

    def __init__(
        self,
        element_size: int,
        output_size: int,
        *,
        width: int = 32,
        pooling: SetPooling = "set_sum",  # type: ignore[assignment]  # a name stands for the component
    ) -> None:
        super().__init__()
        with part("elements"):
            self.elements = nn.Sequential(nn.Linear(element_size, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        with part("whole"):
            self.whole = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, output_size))
        self.pooling = pooling

    def forward(self, elements: Tensor, mask: Tensor) -> Tensor:
        """Compute one output per set."""
        output: Tensor = self.whole(self.pooling(self.elements(elements), mask))
        return output.squeeze(1) if output.shape[1] == 1 else output
