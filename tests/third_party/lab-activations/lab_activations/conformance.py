"""Checks of activations, for every plugin that registers one."""

from __future__ import annotations

import torch

from lab.testing import Conformance, ConformanceSupport, Finding, same

__all__ = ["ActivationConformance", "support"]


class ActivationConformance(Conformance):
    """Checks of activations."""

    kind = "activations"

    def test_is_elementwise(self) -> None:
        """The shape stays, and permuting the input permutes the output."""
        values = torch.linspace(-2, 2, 6).reshape(2, 3)
        activation = self.resolved.build({})
        if not same(activation(values.flip(1)), activation(values).flip(1)):
            raise Finding(f"{self.label} is not elementwise: the position of a number changes its result")


def support() -> ConformanceSupport:
    """Return the checks of this plugin's registry."""
    return ConformanceSupport(kinds={"activations": ActivationConformance})
