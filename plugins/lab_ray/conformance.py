"""What the conformance kit must know of this plugin: the executor is tried where Ray is installed."""

from __future__ import annotations

from importlib.util import find_spec

from lab import use
from lab.testing import ComponentCase, ConformanceSupport
from lab.testing.executors import ExecutorConformance

__all__ = ["support"]


def support() -> ConformanceSupport:
    """One worker is enough to see the contract kept; without Ray there is nothing to try."""
    absent = {} if find_spec("ray") else dict.fromkeys(ExecutorConformance.checks(), "Ray is not installed")
    return ConformanceSupport(
        cases={"executors.ray": ComponentCase(component=use("ray", workers=1), exceptions=absent)}
    )
