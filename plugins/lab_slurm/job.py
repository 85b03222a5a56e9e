"""Job side of the SLURM executor: trains one run in the shared store and writes messages to a file.

Each job has a folder: ``job.json`` is the run to train, ``news.jsonl`` has its messages, one JSON object per line. A
file ``stop`` next to the folders of a study's jobs tells all of them to save their runs and exit.

Torch is imported late, after the number of threads has been set.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lab.study.run import Run, RunProgress
    from lab.study.store import RunRecord

__all__ = ["JOB", "NEWS", "STOP", "Training"]

JOB, NEWS, STOP = "job.json", "news.jsonl", "stop"
POLL_S = 0.5
TELL_EVERY_S = 0.5


class Training:
    """Callable that submitit runs on a node, with the folder of the job.

    When SLURM announces a timeout or preemption, submitit calls ``checkpoint``: the run is saved, and the job is
    requeued and resumes.
    """

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._gives_way = False
        self._thread: threading.Thread | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Return nothing: threads and events cannot be pickled, and the node needs none of them."""
        return {}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__init__()  # type: ignore[misc]

    def __call__(self, place: str) -> None:
        """Train until the run has ended or a stop is requested."""
        folder = Path(place)
        # In a thread, since submitit calls ``checkpoint`` in a signal handler of the main thread.
        self._thread = threading.Thread(target=self._work, args=(folder,))
        self._thread.start()
        while self._thread.is_alive():
            self._thread.join(POLL_S)
            if (folder.parent / STOP).exists():
                self._stop.set()

    def checkpoint(self, place: str) -> Any:
        """Save the run and return the submission that continues it."""
        from submitit.helpers import DelayedSubmission

        # The driver must not take the end of this attempt for the end of the run.
        self._gives_way = True
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        return DelayedSubmission(Training(), place)

    def _work(self, folder: Path) -> None:
        news = _News(folder / NEWS)
        news.tell("here", pid=os.getpid(), node=os.uname().nodename)
        try:
            how, text = self._train(json.loads((folder / JOB).read_text(encoding="utf-8")), news)
        except BaseException as error:
            # Whatever it is: the driver waits for an end.
            from lab.errors import describe

            how, text = "refused", describe(error)
        if not (how == "interrupted" and self._gives_way):
            news.tell("ended", how=how, text=text)

    def _train(self, job: Mapping[str, Any], news: _News) -> tuple[str, str]:
        # Read once, when torch is imported.
        os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(job["threads"])
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        os.environ["LAB_DISABLE_PLUGINS"] = ",".join(job["without"])
        from lab.errors import LabError

        try:
            _rebuilt(job).execute(news, self._stop, fresh=job["fresh"])
        except KeyboardInterrupt:
            return "interrupted", ""
        except LabError as error:
            return "refused", str(error)
        return "done", ""


def _rebuilt(job: Mapping[str, Any]) -> Run:
    """Rebuild the requested run."""
    from lab.registry.plugins import load_catalog
    from lab.study.rebuild import rebuild_exactly
    from lab.study.store import Store

    file = Path(job["file"]) if job["file"] else None
    return rebuild_exactly(job["run"], Store(job["root"]), load_catalog(warn=_ignore), file=file)


class _News:
    """Listener that writes messages, progress at most twice a second."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._row: Mapping[str, float] | None = None
        self._next = 0.0

    def tell(self, event: str, **content: Any) -> None:
        """Write one message."""
        # Opened for every line: some shared file systems show appended data only when the file is closed.
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"event": event, **content}) + "\n")

    def run_started(self, run: Run) -> None:
        """Report the start of the run."""
        self.tell("started")

    def run_advanced(self, run: Run, progress: RunProgress) -> None:
        """Report progress."""
        import attrs

        if progress.row != self._row or time.monotonic() > self._next:
            self._row, self._next = progress.row, time.monotonic() + TELL_EVERY_S
            self.tell("advanced", progress=attrs.asdict(progress))

    def run_finished(self, run: Run, record: RunRecord) -> None:
        """Do nothing: the job reports its end itself."""


def _ignore(message: str) -> None:
    """Drop warnings about plugins, which the driver has shown already."""
