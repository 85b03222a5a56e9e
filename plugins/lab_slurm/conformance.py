"""What the conformance kit must know of this plugin: the executor is tried with jobs on this machine."""

from __future__ import annotations

from importlib.util import find_spec

from lab import use
from lab.testing import ComponentCase, ConformanceSupport
from lab.testing.executors import ExecutorConformance

__all__ = ["support"]


def support() -> ConformanceSupport:
    """Submitit's own local jobs take SLURM's place; without submitit there is nothing to try."""
    absent = {} if find_spec("submitit") else dict.fromkeys(ExecutorConformance.checks(), "submitit is not installed")
    component = use("slurm", cluster="local", workers=2)
    return ConformanceSupport(cases={"executors.slurm": ComponentCase(component=component, exceptions=absent)})
