"""`lab`: ask which part of a model matters, in one file, and get an honest answer.

The public names are handed out lazily, so that ``import lab`` is cheap.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lab.errors import LabError
    from lab.registry.component import preset, use
    from lab.registry.hookspecs import hookimpl, plugin_api
    from lab.registry.registry import RegistrySpec
    from lab.report.section import Section
    from lab.study.command import command
    from lab.study.execute import run_study
    from lab.study.experiment import Experiment
    from lab.study.outside import compare
    from lab.study.rebuild import load
    from lab.study.space import log
    from lab.study.study import Study
    from lab.study.task import TaskRun
    from lab.training.callback import Callback
    from lab.training.data import Data
    from lab.training.learner import Learner
    from lab.training.means import mean_over
    from lab.training.rng import part
    from lab.training.state import CancelBatch, CancelEpoch, CancelFit
    from lab.training.stepper import Evaluation, Stepper

__version__ = "0.1.0"

_HOMES = {
    "Callback": "lab.training.callback",
    "CancelBatch": "lab.training.state",
    "CancelEpoch": "lab.training.state",
    "CancelFit": "lab.training.state",
    "Data": "lab.training.data",
    "Evaluation": "lab.training.stepper",
    "Experiment": "lab.study.experiment",
    "LabError": "lab.errors",
    "Learner": "lab.training.learner",
    "RegistrySpec": "lab.registry.registry",
    "Section": "lab.report.section",
    "Stepper": "lab.training.stepper",
    "Study": "lab.study.study",
    "TaskRun": "lab.study.task",
    "command": "lab.study.command",
    "compare": "lab.study.outside",
    "hookimpl": "lab.registry.hookspecs",
    "load": "lab.study.rebuild",
    "log": "lab.study.space",
    "mean_over": "lab.training.means",
    "part": "lab.training.rng",
    "plugin_api": "lab.registry.hookspecs",
    "preset": "lab.registry.component",
    "run_study": "lab.study.execute",
    "use": "lab.registry.component",
}

__all__ = [
    "Callback",
    "CancelBatch",
    "CancelEpoch",
    "CancelFit",
    "Data",
    "Evaluation",
    "Experiment",
    "LabError",
    "Learner",
    "RegistrySpec",
    "Section",
    "Stepper",
    "Study",
    "TaskRun",
    "__version__",
    "command",
    "compare",
    "hookimpl",
    "load",
    "log",
    "mean_over",
    "part",
    "plugin_api",
    "preset",
    "run_study",
    "use",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'lab' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
