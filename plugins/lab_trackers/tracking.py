"""Runs on their way to trackers: begun, continued, completed, and never harmed by a tracker that fails.

The file ``trackers.json`` in a run's folder says under which id each tracker has the run and how many epochs it got, so
that a resumed run goes on in the same run of theirs and nothing is sent twice. It is no part of the run's key.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.errors import LabError, describe, line_of_code
from lab.files import write_json
from lab.registry.plugins import Catalog
from lab.registry.resolve import Resolver
from lab.streams import stdout_to_stderr
from lab.study.store import RunRecord
from lab.training.rng import all_generators
from lab_trackers.tracker import RunFacts, Tracker, artefacts_of, facts_of

if TYPE_CHECKING:
    from lab.registry.component import Reference
    from lab.study.run import Run

__all__ = [
    "Tracking",
    "begin_run",
    "build_tracker",
    "check_variable",
    "close_tracking",
    "end_deserted",
    "end_run",
    "is_observed",
    "open_tracking",
]

log = logging.getLogger("lab")

FILE = "trackers.json"
VARIABLE = "LAB_TRACK"
UNSENT = "the run goes on; afterwards: lab track {name} KEY"

_open: dict[tuple[str, str], Tracking] = {}
_reported: set[str] = set()


class Tracking:
    """One run in one tracker.

    Args:
        tracker: used for this run alone.
        folder: of the run.
        facts: what is shown from the beginning.
    """

    def __init__(self, tracker: Tracker, folder: Path, facts: RunFacts) -> None:
        self.tracker, self.folder, self.facts = tracker, folder, facts
        self._started = self._failed = False
        self._sent = -1

    @property
    def status(self) -> str:
        """The status that the tracker was told last; empty if it has no such run."""
        return str(self._state().get("status", ""))

    def begin(self) -> None:
        """Start the run, or continue it.

        Raises:
            Exception: anything that the tracker raises.
        """
        if self._started:
            return
        state = self._state()
        known = state.get("id")
        with _apart():
            given = self.tracker.start(self.facts, known)
        self._started, self._failed = True, False
        self._sent = int(state.get("epoch", -1)) if given == known else -1
        self._keep(id=given, epoch=self._sent, status="running")

    def log(self, rows: Sequence[dict[str, float]]) -> None:
        """Send the epochs of a history that the tracker does not have yet.

        Raises:
            Exception: anything that the tracker raises.
        """
        waiting = [row for row in rows if row["epoch"] > self._sent]
        with _apart():
            for row in waiting:
                self.tracker.log(int(row["epoch"]), {name: row[name] for name in row if name != "epoch"})
                self._sent = int(row["epoch"])
        if waiting:
            self._keep(epoch=self._sent)

    def end(self, record: RunRecord) -> None:
        """Send everything that is missing, and end the run.

        Raises:
            Exception: anything that the tracker raises.
        """
        self.begin()
        self.log(record.history())
        metrics = {f"final/{name}": value for name, value in record.metrics.items()}
        metrics |= {f"budget/{name}": value for name, value in record.budget.items()}
        outcome = record.folder / ("result.json" if record.status == "finished" else "failure.json")
        error = str(record.result.get("error", "")).partition("\n")[0] if record.status == "failed" else ""
        self.close(record.status, metrics, error=error, ended=outcome.stat().st_mtime if outcome.is_file() else None)

    def close(self, status: str, metrics: dict[str, float], *, error: str = "", ended: float | None = None) -> None:
        """End the run with a status.

        Raises:
            Exception: anything that the tracker raises.
        """
        with _apart():
            self.tracker.finish(status, metrics, artefacts_of(self.folder), error=error, ended=ended)
        self._started = False
        self._keep(status=status)

    def attempt(self, action: Callable[..., None], *given: Any) -> None:
        """Call one of the methods above; a failure is reported once, and silences the tracker until the run ends."""
        if self._failed and action != self.end:
            return
        try:
            action(*given)
        except Exception as error:
            self._failed = True
            _report(self.tracker, error)

    def _state(self) -> dict[str, Any]:
        return _read(self.folder).get(_place(self.tracker), {})

    def _keep(self, **changes: Any) -> None:
        everything, place = _read(self.folder), _place(self.tracker)
        everything[place] = {**everything.get(place, {}), **changes}
        # a learner outside of a study has a folder only once something is written there
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / FILE, everything, durable=False)


def _place(tracker: Tracker) -> str:
    """Return the name of a tracker and its address: a run may be sent to two servers."""
    return f"{tracker.name} {tracker.where}"


def _read(folder: Path) -> dict[str, dict[str, Any]]:
    """Return what ``trackers.json`` holds; a damaged one counts as none, and the run as one that was never sent."""
    try:
        found = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    is_sound = isinstance(found, dict) and all(isinstance(entry, dict) for entry in found.values())
    return found if is_sound else {}


def _report(tracker: Tracker, error: Exception) -> None:
    # once per process: an unreachable server would be reported for every run of a study
    if _place(tracker) not in _reported:
        _reported.add(_place(tracker))
        frames = traceback.extract_tb(error.__traceback__)
        place = line_of_code(frames[-1].filename, frames[-1].lineno or 0) if frames else ""
        said = "\n  ".join(filter(None, [describe(error), place, UNSENT.format(name=tracker.name)]))
        log.warning("tracker '%s' failed and is not waited for: %s", tracker.name, said)


@contextmanager
def _apart() -> Iterator[None]:
    """Keep a tracker's warnings, output and random numbers away from the run."""
    # urllib3 draws its waits from Python's generator, from which a training function may draw too
    with all_generators(0), stdout_to_stderr(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


# --- trackers by name -------------------------------------------------------------------------------------------------


def build_tracker(reference: Reference, catalog: Catalog) -> Tracker:
    """Return a tracker by its name.

    Raises:
        LabError: there is none of this name, or a parameter is wrong.
    """
    resolver = Resolver(catalog)
    found = resolver.resolve("trackers", reference)
    if found is None:
        raise LabError("\n".join(resolver.problems))
    tracker = found.build({})
    assert isinstance(tracker, Tracker)
    return tracker


def _named() -> list[str]:
    """Return the trackers in ``LAB_TRACK``: names with commas."""
    return list(dict.fromkeys(filter(None, (name.strip() for name in os.environ.get(VARIABLE, "").split(",")))))


def check_variable(catalog: Catalog) -> None:
    """Warn of every tracker in ``LAB_TRACK`` that cannot be used."""
    for name in _named():
        try:
            build_tracker(name, catalog).check()
        except LabError as error:
            log.warning("%s=%s sends nothing: %s", VARIABLE, name, error)


def is_observed() -> bool:
    """Return whether this process is the one that reports a run: the only one, or the first of several."""
    from torch import distributed

    return not (distributed.is_available() and distributed.is_initialized() and distributed.get_rank() > 0)


# --- runs of a study --------------------------------------------------------------------------------------------------


def open_tracking(tracker: Tracker, folder: Path, facts: RunFacts) -> Tracking:
    """Return the tracking of a run, begun; the same object for the same folder and tracker until it ends."""
    place = (str(folder), _place(tracker))
    if place not in _open:
        _open[place] = Tracking(tracker, folder, facts)
        _open[place].attempt(_open[place].begin)
        # registered last, so called first: wandb's own handler ends the service that we still need
        atexit.unregister(_close_all)
        atexit.register(_close_all)
    return _open[place]


def close_tracking(tracking: Tracking, status: str, metrics: dict[str, float]) -> None:
    """End the tracking of a learner outside of a study."""
    for place in [place for place, other in _open.items() if other is tracking]:
        del _open[place]
    tracking.attempt(tracking.close, status, metrics)


def begin_run(run: Run) -> None:
    """Begin a run in every tracker in ``LAB_TRACK``."""
    folder = Path(os.path.abspath(run.store.folder_of(run.key)))
    # `lab reproduce` trains a run again, which is none of a study
    if not is_observed() or folder.parents[1].name.startswith(".reproduce-"):
        return
    for name in _named():
        # reported when the study began
        with suppress(LabError):
            tracker = build_tracker(name, run.catalog)
            tracker.check()
            open_tracking(tracker, folder, facts_of(RunRecord(run.key, folder, "", {})))


def end_run(run: Run, record: RunRecord) -> None:
    """Complete a run in the trackers that it was begun in, by ``LAB_TRACK`` or by a callback."""
    folder = str(Path(os.path.abspath(record.folder)))
    for place in [place for place in _open if place[0] == folder]:
        tracking = _open.pop(place)
        tracking.attempt(tracking.end, record)
    if not _open:
        atexit.unregister(_close_all)


def end_deserted(runs: Sequence[RunRecord]) -> None:
    """Complete the runs that a tracker has as running though they have ended: their process died."""
    from lab.registry.plugins import load_catalog

    ended = [record for record in runs if record.status in ("failed", "finished")]
    deserted = [r for r in ended if any(state.get("status") == "running" for state in _read(r.folder).values())]
    for name in _named() if deserted else ():
        with suppress(LabError):
            tracker = build_tracker(name, load_catalog())
            for tracking, record in [(Tracking(tracker, r.folder, facts_of(r)), r) for r in deserted]:
                if tracking.status == "running":
                    tracking.attempt(tracking.end, record)


def _close_all() -> None:
    """Tell trackers that the process ends in the middle of a run."""
    while _open:
        tracking = _open.popitem()[1]
        if not tracking._failed:
            tracking.attempt(tracking.close, "interrupted", {})
