"""Node side of the Ray executor: an actor that trains one run after the other in a temporary folder.

The actor only answers calls. While a run trains, the driver calls ``poll`` repeatedly, which returns what has happened
since: progress, and the run's files as messages of ``lab_ray.files``. Arguments and results are plain dictionaries,
lists, strings, numbers and bytes.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs
from filelock import FileLock, Timeout

from lab.errors import LabError, describe
from lab.registry.plugins import Catalog, load_catalog
from lab.study.build import DataCache
from lab.study.rebuild import rebuild_exactly
from lab.study.run import Run, RunProgress
from lab.study.store import RunRecord, Store
from lab_ray.files import Inbox, Message, Outbox, in_batches, newest_checkpoint
from lab_ray.sources import write_sources

__all__ = ["Trainer"]

POLL_INTERVAL_S = 0.25
"""Maximum time for which ``poll`` waits for news, and so the delay of a request to stop."""

FOLDERS = "lab-ray-"


class Trainer:
    """Actor that trains runs on a node; it lives as long as the study, so that torch and data are loaded once.

    Args:
        settings: ``without``, names of disabled plugins; ``data``, the driver's data folder, for nodes without
            LAB_DATA; ``checkpoint_every_s``, minimum time between shipments of a run.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        _sweep()
        self.folder = Path(tempfile.mkdtemp(prefix=FOLDERS))
        # Held while the actor lives: a folder whose lock is free belongs to an actor that was killed.
        self._mark = FileLock(self.folder / "lock", thread_local=False)
        self._mark.acquire()
        self.every_s = float(settings["checkpoint_every_s"])
        # Before plugins are loaded: one that the driver disabled could change what a name refers to.
        os.environ["LAB_DISABLE_PLUGINS"] = ",".join(settings["without"])
        if settings["data"]:
            os.environ.setdefault("LAB_DATA", settings["data"])
        self.store = Store(self.folder / "runs")
        self.store.prepare()
        self.catalog: Catalog = load_catalog(warn=_ignore)
        self.cache = DataCache(silent=True)
        self._inbox: Inbox | None = None
        self._training: _Training | None = None

    def hello(self) -> dict[str, Any]:
        """Return ``pid`` and the name of the ``node``, once the actor has started."""
        return {"pid": os.getpid(), "node": socket.gethostname()}

    def receive(self, key: str, messages: Sequence[Message]) -> None:
        """Receive files of a run that is to be resumed from its checkpoint."""
        folder = self.store.folder / key
        folder.mkdir(exist_ok=True)
        self._inbox = self._inbox or Inbox(folder)
        for message in messages:
            self._inbox.take(message)

    def train(self, job: Mapping[str, Any]) -> None:
        """Start training in a thread.

        Args:
            job: ``run``, its record; ``sources``, the study file and the modules next to it; ``file``, the name of the
                study file among these.
        """
        self._inbox = None
        self._training = _Training(self, job)

    def poll(self, stop: bool) -> list[Message]:
        """Return what has happened since the last call, waiting briefly if there is nothing.

        Args:
            stop: tell the run to save its state and stop.
        """
        assert self._training is not None
        if stop:
            self._training.stop.set()
        return self._training.poll()

    def close(self) -> None:
        """Remove the actor's folder."""
        self._mark.release()
        shutil.rmtree(self.folder, ignore_errors=True)


class _Training:
    """Run that trains in a thread, with its news and files for the driver."""

    def __init__(self, trainer: Trainer, job: Mapping[str, Any]) -> None:
        self.trainer, self.job, self.stop = trainer, job, threading.Event()
        self.folder = trainer.store.folder / job["run"]["key"]
        self._news = _News()
        self._outbox = Outbox(self.folder, trainer.folder / "links")
        if self.folder.exists():
            self._outbox.forget_what_is_here()
        self._shipped, self._shipped_at = newest_checkpoint(self.folder), time.monotonic()
        self._batches: Iterator[list[Message]] | None = None
        self._end: Message | None = None
        # A thread, so that the actor can answer polls while it trains; a daemon, so that it ends with the actor.
        threading.Thread(target=self._work, daemon=True).start()

    def poll(self) -> list[Message]:
        """Return progress and the next chunk of files; the last message says how the run ended."""
        news = self._news.take(POLL_INTERVAL_S if self._batches is None else 0.0)
        # Held back until the files have been sent.
        if news and news[-1]["event"] == "ended":
            self._end = news.pop()
        if self._batches is None:
            self._batches = self._next_shipment()
        batch = next(self._batches, None) if self._batches is not None else None
        if batch is None:
            self._batches = None
        return [*news, *(batch or ())]

    def _next_shipment(self) -> Iterator[list[Message]] | None:
        if self._end is not None:
            return in_batches(self._last_messages(self._end))
        newest = newest_checkpoint(self.folder)
        if newest == self._shipped or time.monotonic() - self._shipped_at < self.trainer.every_s:
            return None
        self._shipped, self._shipped_at = newest, time.monotonic()
        return in_batches(self._outbox.shipment())

    def _last_messages(self, end: Message) -> Iterator[Message]:
        if end["how"] != "refused":
            yield from self._outbox.shipment()
        shutil.rmtree(self.folder, ignore_errors=True)
        yield end

    def _work(self) -> None:
        try:
            self._rebuilt().execute(self._news, self.stop)
        except KeyboardInterrupt:
            self._news.end("interrupted")
        except LabError as error:
            self._news.end("refused", str(error))
        except BaseException as error:
            # Whatever it is: the driver waits for an end.
            self._news.end("refused", describe(error))
        else:
            self._news.end("done")

    def _rebuilt(self) -> Run:
        """Rebuild the requested run from what is installed here."""
        file = self.trainer.folder / "study" / self.job["file"]
        write_sources(self.job["sources"], file.parent)
        trainer = self.trainer
        return rebuild_exactly(self.job["run"], trainer.store, trainer.catalog, file=file, cache=trainer.cache)


class _News:
    """Listener that collects messages: all ends of epochs, and of other progress the newest."""

    def __init__(self) -> None:
        self._messages: list[Message] = []
        self._changed = threading.Condition()

    def take(self, timeout_s: float) -> list[Message]:
        """Return and clear the messages, waiting for one if there are none."""
        with self._changed:
            self._changed.wait_for(lambda: self._messages, timeout_s)
            messages, self._messages = self._messages, []
        return messages

    def run_started(self, run: Run) -> None:
        """Record the start of the run."""
        self._add({"event": "started"})

    def run_advanced(self, run: Run, progress: RunProgress) -> None:
        """Record progress."""
        self._add({"event": "advanced", "progress": attrs.asdict(progress)})

    def run_finished(self, run: Run, record: RunRecord) -> None:
        """Do nothing: the driver reports the end when it has received the files."""

    def end(self, how: str, text: str = "") -> None:
        """Record how the run ended (``done``, ``interrupted``, ``refused``), and why it was refused."""
        self._add({"event": "ended", "how": how, "text": text})

    def _add(self, message: Message) -> None:
        with self._changed:
            # A driver that polls late gets the newest progress only, not thousands of messages.
            if self._messages and _is_older_news_of(self._messages[-1], message):
                self._messages.pop()
            self._messages.append(message)
            self._changed.notify()


def _is_older_news_of(old: Message, new: Message) -> bool:
    """Return True if both report progress in the same epoch."""
    both_advanced = old["event"] == "advanced" == new["event"]
    return both_advanced and bool(old["progress"]["row"] == new["progress"]["row"])


def _sweep() -> None:
    """Remove the folders of workers that were killed on this machine, whose locks are free."""
    for lock in Path(tempfile.gettempdir()).glob(f"{FOLDERS}*/lock"):
        with suppress(Timeout, OSError), FileLock(lock, timeout=0):
            shutil.rmtree(lock.parent, ignore_errors=True)


def _ignore(message: str) -> None:
    """Drop warnings about plugins, which the driver has shown already."""
