"""Checks without pytest, for ``lab check``, and the conformance class of a registered component."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator
from typing import Any, Literal

import attrs

from lab.errors import LabError, describe
from lab.registry.component import Use
from lab.registry.plugins import Catalog
from lab.registry.registry import Entry
from lab.testing.architectures import ArchitectureConformance
from lab.testing.callbacks import CallbackConformance
from lab.testing.conformance import ComponentCase, Conformance, kit_of
from lab.testing.datasets import DatasetConformance
from lab.testing.executors import ExecutorConformance
from lab.testing.finding import Finding, NotApplicable
from lab.testing.losses import LossConformance
from lab.testing.metrics import MetricConformance
from lab.testing.optimizers import OptimizerConformance
from lab.testing.samplers import SamplerConformance
from lab.testing.searchers import SearcherConformance
from lab.testing.steppers import StepperConformance
from lab.testing.tasks import TaskConformance

__all__ = ["KINDS", "Outcome", "check_entry", "conformance_of", "run_check"]

KINDS: dict[str, type[Conformance]] = {
    kind.kind: kind
    for kind in (
        ArchitectureConformance,
        CallbackConformance,
        DatasetConformance,
        ExecutorConformance,
        LossConformance,
        MetricConformance,
        OptimizerConformance,
        SamplerConformance,
        SearcherConformance,
        StepperConformance,
        TaskConformance,
    )
}


@attrs.frozen
class Outcome:
    """The outcome of one check.

    Attributes:
        check: its name in words.
        status: ``ok``, ``failed`` or ``skipped``.
        text: the finding, or why the check does not apply.
    """

    check: str
    status: Literal["ok", "failed", "skipped"]
    text: str = ""


def conformance_of(entry: Entry, catalog: Catalog) -> type[Conformance]:
    """Return the conformance class of a registered component, with the case that its plugin gives for it.

    A registry without a class of its own gets the general checks.
    """
    kit = kit_of(catalog)
    base = kit.kinds.get(entry.kind) or KINDS.get(entry.kind, Conformance)
    case = kit.cases.get(f"{entry.kind}.{entry.name}", ComponentCase())
    chosen = Use(entry.qualified_name) if case.component is None else case.component
    settings: dict[str, Any] = {"kind": entry.kind, "component": chosen, "catalog": catalog}
    settings |= {"examples": case.examples, "exceptions": dict(case.exceptions)}
    return type(f"Conformance_{entry.name}", (base,), settings)


def check_entry(entry: Entry, catalog: Catalog) -> Iterator[Outcome]:
    """Run every check of a registered component, one after the other."""
    kind = conformance_of(entry, catalog)
    return (run_check(kind, name) for name in kind.checks())


def run_check(kind: type[Conformance], name: str) -> Outcome:
    """Run one check of a conformance class."""
    words = name.removeprefix("test_").replace("_", " ")
    try:
        getattr(kind(), name)()
    except NotApplicable as reason:
        return Outcome(words, "skipped", str(reason))
    except (Exception, SystemExit) as error:
        return Outcome(words, "failed", _describe(error))
    return Outcome(words, "ok")


def _describe(error: BaseException) -> str:
    lines = str(error).splitlines() if isinstance(error, (Finding, LabError)) else _foreign(error)
    return "\n".join([*lines, *(f"  {note}" for note in getattr(error, "__notes__", ()))])


def _foreign(error: BaseException) -> list[str]:
    # The last frame is where the component itself failed.
    frames = traceback.extract_tb(error.__traceback__)
    where = f"  {os.path.basename(frames[-1].filename)}, line {frames[-1].lineno}: {frames[-1].line}" if frames else ""
    return [f"it raises {describe(error)}", where]
