"""The conformance kit for plugin authors: checks of the components of each kind, as tests to inherit.

::

    from lab import use
    from lab.testing import ArchitectureConformance


    class TestCosine(ArchitectureConformance):
        component = use("cosine_rnn", width=8)

pytest then runs every check of architectures on it; ``lab check cosine_rnn`` runs the same without pytest. The names
are handed out lazily, so that a plugin can name a class of the kit without importing torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lab.testing.architectures import ArchitectureConformance
    from lab.testing.callbacks import CallbackConformance
    from lab.testing.conformance import ComponentCase, Conformance, ConformanceSupport, on_every_example, skip
    from lab.testing.datasets import DatasetConformance
    from lab.testing.example import Example
    from lab.testing.executors import ExecutorConformance
    from lab.testing.finding import Finding, NotApplicable
    from lab.testing.losses import LossConformance
    from lab.testing.metrics import MetricConformance
    from lab.testing.optimizers import OptimizerConformance
    from lab.testing.probe import clear_error, no_global_randomness, same
    from lab.testing.runner import Outcome, check_entry, conformance_of
    from lab.testing.samplers import SamplerConformance
    from lab.testing.searchers import SearcherConformance
    from lab.testing.steppers import StepperConformance
    from lab.testing.tasks import TaskConformance

_HOMES = {
    "ArchitectureConformance": "architectures",
    "CallbackConformance": "callbacks",
    "ComponentCase": "conformance",
    "Conformance": "conformance",
    "ConformanceSupport": "conformance",
    "DatasetConformance": "datasets",
    "Example": "example",
    "ExecutorConformance": "executors",
    "Finding": "finding",
    "LossConformance": "losses",
    "MetricConformance": "metrics",
    "NotApplicable": "finding",
    "OptimizerConformance": "optimizers",
    "Outcome": "runner",
    "SamplerConformance": "samplers",
    "SearcherConformance": "searchers",
    "StepperConformance": "steppers",
    "TaskConformance": "tasks",
    "check_entry": "runner",
    "clear_error": "probe",
    "conformance_of": "runner",
    "no_global_randomness": "probe",
    "on_every_example": "conformance",
    "same": "probe",
    "skip": "conformance",
}

__all__ = [
    "ArchitectureConformance",
    "CallbackConformance",
    "ComponentCase",
    "Conformance",
    "ConformanceSupport",
    "DatasetConformance",
    "Example",
    "ExecutorConformance",
    "Finding",
    "LossConformance",
    "MetricConformance",
    "NotApplicable",
    "OptimizerConformance",
    "Outcome",
    "SamplerConformance",
    "SearcherConformance",
    "StepperConformance",
    "TaskConformance",
    "check_entry",
    "clear_error",
    "conformance_of",
    "no_global_randomness",
    "on_every_example",
    "same",
    "skip",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'lab.testing' has no attribute '{name}'")
    return getattr(importlib.import_module(f"lab.testing.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
