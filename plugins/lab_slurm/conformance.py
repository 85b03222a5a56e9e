"""Cases for the conformance kit: the executor with jobs on this machine."""

from __future__ import annotations

from importlib.util import find_spec

from lab import use
from lab.testing import ComponentCase, ConformanceSupport
from lab.testing.executors import ExecutorConformance

__all__ = ["support"]


def support() -> ConformanceSupport:
    """Return the case of the executor with submitit's local jobs; without submitit, its checks are skipped."""
    absent = {} if find_spec("submitit") else dict.fromkeys(ExecutorConformance.checks(), "submitit is not installed")
    component = use("slurm", cluster="local", workers=2)
    return ConformanceSupport(cases={"executors.slurm": ComponentCase(component=component, exceptions=absent)})
