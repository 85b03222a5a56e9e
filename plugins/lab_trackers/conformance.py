"""Checks of trackers for the conformance kit, and how the built-in ones are tried: on a database and a folder."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from lab import use
from lab.testing import ComponentCase, Conformance, ConformanceSupport, Finding
from lab.testing.callbacks import CallbackConformance
from lab_trackers.tracker import RunFacts, Tracker

__all__ = ["TrackerConformance", "support"]

ROW = {"train_loss": 0.5, "valid_loss": float("nan"), "seconds": 0.1}


class TrackerConformance(Conformance):
    """The checks of trackers: ``factory(…)`` gives a ``Tracker``."""

    kind = "trackers"

    def build(self) -> Tracker:
        """Return the tracker."""
        tracker = self.resolved.build({})
        if not isinstance(tracker, Tracker):
            raise Finding(f"{self.label} must be a Tracker, not a {type(tracker).__name__}")
        return tracker

    def send(self, known: str | None, epochs: range, status: str) -> str:
        """Send a run of some epochs and return its id."""
        tracker = self.build()
        tracker.check()
        facts = RunFacts("conformance", "no dropout, p=0", 3, "0123456789abcdef0123", {"lr": 0.1, "arm.#1": "none"})
        given = tracker.start(facts, known)
        for epoch in epochs:
            tracker.log(epoch, ROW)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "note.txt")
            file.write_text("a text", encoding="utf-8")
            tracker.finish(status, {"final/valid_loss": float("inf")}, {"artefacts/note.txt": file}, error="it failed")
        return given

    def test_its_name_is_that_of_the_registry(self) -> None:
        """The name in a run's ``trackers.json`` is the one that users type."""
        tracker = self.build()
        if tracker.name != self.resolved.name:
            raise Finding(f"{self.label}: its attribute name is {tracker.name!r}")

    def test_its_address_stays(self) -> None:
        """Two trackers with the same parameters have one address."""
        one, other = self.build().where, self.build().where
        if not isinstance(one, str) or one != other:
            raise Finding(f"{self.label}: its address is {one!r}, and then {other!r}")

    def test_takes_runs_of_every_status(self) -> None:
        """With NaN and infinite metrics, names with spaces and signs, and a file."""
        for status in ("finished", "failed", "interrupted"):
            given = self.send(None, range(2), status)
            if not isinstance(given, str) or not given:
                raise Finding(f"{self.label}: start returns {given!r}, not an id")

    def test_continues_a_run(self) -> None:
        """An interrupted run goes on under its id; another ``start`` without an id begins another run."""
        first = self.send(None, range(1), "interrupted")
        again, other = self.send(first, range(1, 2), "finished"), self.send(None, range(1), "finished")
        if again != first or other == first:
            raise Finding(
                f"{self.label}: the run {first} went on as {again}, and another one was called {other}",
                hint="start(run, known) returns known for a run that goes on, and for known=None an id of its own",
            )


@cache
def _place() -> str:
    folder = tempfile.mkdtemp(prefix="lab-trackers-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def support() -> ConformanceSupport:
    """Return the checks of trackers and the cases of the built-in ones; without their packages they are skipped."""
    database, folder = f"sqlite:///{_place()}/mlflow.db", _place()
    absent = {name: f"{name} is not installed" for name in ("mlflow", "wandb") if find_spec(name) is None}
    options = {"mlflow": {"uri": database}, "wandb": {"offline": True, "folder": folder}}
    cases = {}
    for name, given in options.items():
        for kind, checks in (("trackers", TrackerConformance), ("callbacks", CallbackConformance)):
            exceptions = dict.fromkeys(checks.checks(), absent[name]) if name in absent else {}
            cases[f"{kind}.{name}"] = ComponentCase(use(name, **given), exceptions=exceptions)
    to = use("wandb", **options["wandb"])
    exceptions = dict.fromkeys(CallbackConformance.checks(), absent["wandb"]) if "wandb" in absent else {}
    cases["callbacks.tracker"] = ComponentCase(use("tracker", to=to), exceptions=exceptions)
    return ConformanceSupport(kinds={"trackers": TrackerConformance}, cases=cases)
