"""The checks of activations, which every plugin that adds one inherits."""

from __future__ import annotations

import torch

from lab.testing import Conformance, ConformanceSupport, Finding, same

__all__ = ["ActivationConformance", "support"]


class ActivationConformance(Conformance):
    """The checks of activations."""

    kind = "activations"

    def test_looks_at_every_number_by_itself(self) -> None:
        """The same shape; another order gives the same numbers in that order."""
        values = torch.linspace(-2, 2, 6).reshape(2, 3)
        activation = self.resolved.build({})
        if not same(activation(values.flip(1)), activation(values).flip(1)):
            raise Finding(f"{self.label}: a number's place changes what becomes of it")


def support() -> ConformanceSupport:
    """The checks of this plugin's registry."""
    return ConformanceSupport(kinds={"activations": ActivationConformance})
