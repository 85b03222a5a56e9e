"""Cases for the conformance kit: the executor, if Ray is installed."""

from __future__ import annotations

from importlib.util import find_spec

from lab import use
from lab.testing import ComponentCase, ConformanceSupport
from lab.testing.executors import ExecutorConformance

__all__ = ["support"]


def support() -> ConformanceSupport:
    """Return the case of the executor with one worker; without Ray, its checks are skipped."""
    absent = {} if find_spec("ray") else dict.fromkeys(ExecutorConformance.checks(), "Ray is not installed")
    return ConformanceSupport(
        cases={"executors.ray": ComponentCase(component=use("ray", workers=1), exceptions=absent)}
    )
