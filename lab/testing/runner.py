"""Checks without pytest, for ``lab check``, and the conformance class of a registered component."""

from __future__ import annotations

import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import attrs

from lab.errors import LabError, describe, line_of_code
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


AGAIN_S = 5.0
"""Seconds after which a check that went on in spite of its limit is told again."""


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


def check_entry(
    entry: Entry,
    catalog: Catalog,
    *,
    limit_s: float | None = None,
    began: Callable[[str, int, int], None] | None = None,
) -> Iterator[Outcome]:
    """Run every check of a registered component, one after the other.

    Args:
        entry: the component.
        catalog: the plugins.
        limit_s: seconds that a check may take; None for no limit.
        began: called before each check with its name in words, its number from 1, and how many there are.
    """
    kind = conformance_of(entry, catalog)
    names = kind.checks()
    for number, name in enumerate(names, 1):
        if began is not None:
            began(_in_words(name), number, len(names))
        yield run_check(kind, name, limit_s=limit_s)


def _in_words(name: str) -> str:
    return name.removeprefix("test_").replace("_", " ")


class _TimeIsUp(KeyboardInterrupt):
    """Raised in a check that takes too long; as for Ctrl-C, neither components, hooks nor runs catch it."""


@contextmanager
def _limited(seconds: float | None) -> Iterator[None]:
    """Raise ``_TimeIsUp`` in the block after some seconds, and again until it ends.

    Only the main thread gets signals, and Windows has no such one: elsewhere there is no limit.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if seconds is None or not is_main or not hasattr(signal, "SIGALRM"):
        yield
        return

    def end(*_: Any) -> None:
        raise _TimeIsUp

    former = signal.signal(signal.SIGALRM, end)
    # A run records what is raised in it and lets the next one begin, which must not take its time, either.
    signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)


def run_check(kind: type[Conformance], name: str, *, limit_s: float | None = None) -> Outcome:
    """Run one check of a conformance class, in at most ``limit_s`` seconds."""
    words = _in_words(name)
    started = time.monotonic()
    try:
        with _limited(limit_s):
            getattr(kind(), name)()
    except _TimeIsUp as error:
        return Outcome(words, "failed", "\n".join(_too_long(error, limit_s)))
    except NotApplicable as reason:
        return Outcome(words, "skipped", str(reason))
    except (Exception, SystemExit) as error:
        return Outcome(words, "failed", _describe(error))
    if limit_s is not None and time.monotonic() - started > limit_s:
        return Outcome(words, "failed", f"it did not end within {limit_s:g} s")
    return Outcome(words, "ok")


def _too_long(error: BaseException, limit_s: float | None) -> list[str]:
    # The innermost line that is not of Python's own library is where the component waits.
    frames = [each for each in traceback.extract_tb(error.__traceback__) if each.filename != __file__]
    line = f"  {line_of_code(frames[-1].filename, frames[-1].lineno or 0)}" if frames else ""
    return [f"it did not end within {limit_s:g} s", *filter(None, [line]), "  more time: lab check --limit SECONDS"]


def _describe(error: BaseException) -> str:
    lines = str(error).splitlines() if isinstance(error, (Finding, LabError)) else _foreign(error)
    return "\n".join([*lines, *(f"  {note}" for note in getattr(error, "__notes__", ()))])


def _foreign(error: BaseException) -> list[str]:
    # The last frame is where the component itself failed.
    frames = traceback.extract_tb(error.__traceback__)
    where = f"  {line_of_code(frames[-1].filename, frames[-1].lineno or 0)}" if frames else ""
    return [f"it raises {describe(error)}", where]
