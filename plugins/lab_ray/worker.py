"""The node's side: an actor that trains one run after the other in a folder of its own.

The actor is asked and answers; it never calls anybody. ``poll`` is asked again and again while a run trains, and gives
what has happened since: progress, and the run's files as messages of ``lab_ray.files``. Everything that is asked and
answered is plain: dictionaries, lists, texts, numbers, bytes.
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
"""How long ``poll`` waits for something to tell, and so how long a request to stop may take to arrive."""

FOLDERS = "lab-ray-"


class Trainer:
    """Trains runs on a node; it lives as long as the study, so that torch is imported and data is read once.

    Args:
        settings: ``without``, names of plugins that are switched off; ``data``, the driver's folder of corpora, for
            nodes that have no LAB_DATA; ``checkpoint_every_s``, the least time between two shipments of a run.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        _sweep()
        self.folder = Path(tempfile.mkdtemp(prefix=FOLDERS))
        self._mark = FileLock(self.folder / "lock", thread_local=False)
        self._mark.acquire()
        self.every_s = float(settings["checkpoint_every_s"])
        os.environ["LAB_DISABLE_PLUGINS"] = ",".join(settings["without"])
        if settings["data"]:
            os.environ.setdefault("LAB_DATA", settings["data"])
        self.store = Store(self.folder / "runs")
        self.store.prepare()
        self.catalog: Catalog = load_catalog(warn=_ignore)
        self.cache = DataCache()
        self._inbox: Inbox | None = None
        self._training: _Training | None = None

    def hello(self) -> dict[str, Any]:
        """Who it is, once it is there: ``pid`` and the name of its ``node``."""
        return {"pid": os.getpid(), "node": socket.gethostname()}

    def receive(self, key: str, messages: Sequence[Message]) -> None:
        """Take files of a run that is to go on from its checkpoint."""
        folder = self.store.folder / key
        folder.mkdir(exist_ok=True)
        self._inbox = self._inbox or Inbox(folder)
        for message in messages:
            self._inbox.take(message)

    def train(self, job: Mapping[str, Any]) -> None:
        """Begin to train.

        Args:
            job: ``run``, its record; ``sources``, the study's file and what lies beside
                it; ``file``, the name of the study's file among these.
        """
        self._inbox = None
        self._training = _Training(self, job)

    def poll(self, stop: bool) -> list[Message]:
        """What has happened since the last time; waits a moment for something to happen.

        Args:
            stop: whether the run shall save its state and stop.
        """
        assert self._training is not None
        if stop:
            self._training.stop.set()
        return self._training.poll()

    def close(self) -> None:
        """Leave nothing behind."""
        self._mark.release()
        shutil.rmtree(self.folder, ignore_errors=True)


class _Training:
    """One run under way: it trains in a thread, and this is what there is to tell of it."""

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
        threading.Thread(target=self._work, daemon=True).start()

    def poll(self) -> list[Message]:
        """Progress, and the next piece of its files; last of all that it has ended, and how."""
        news = self._news.take(POLL_INTERVAL_S if self._batches is None else 0.0)
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
        except BaseException as error:  # whatever it is: the driver waits for an end
            self._news.end("refused", describe(error))
        else:
            self._news.end("done")

    def _rebuilt(self) -> Run:
        """The run that was asked for, made of what is installed here."""
        file = self.trainer.folder / "study" / self.job["file"]
        write_sources(self.job["sources"], file.parent)
        trainer = self.trainer
        return rebuild_exactly(self.job["run"], trainer.store, trainer.catalog, file=file, cache=trainer.cache)


class _News:
    """A listener that keeps what it hears until it is asked; of progress the newest, and the end of every epoch."""

    def __init__(self) -> None:
        self._messages: list[Message] = []
        self._changed = threading.Condition()

    def take(self, timeout_s: float) -> list[Message]:
        """Everything since the last time, waiting for something if there is nothing."""
        with self._changed:
            self._changed.wait_for(lambda: self._messages, timeout_s)
            messages, self._messages = self._messages, []
        return messages

    def run_started(self, run: Run) -> None:
        """The run begins."""
        self._add({"event": "started"})

    def run_advanced(self, run: Run, progress: RunProgress) -> None:
        """Some steps were done."""
        self._add({"event": "advanced", "progress": attrs.asdict(progress)})

    def run_finished(self, run: Run, record: RunRecord) -> None:
        """Told by the driver, when the files are there."""

    def end(self, how: str, text: str = "") -> None:
        """The last message: how it ended (``done``, ``interrupted``, ``refused``), and why it was refused."""
        self._add({"event": "ended", "how": how, "text": text})

    def _add(self, message: Message) -> None:
        with self._changed:
            if self._messages and _is_older_news_of(self._messages[-1], message):
                self._messages.pop()
            self._messages.append(message)
            self._changed.notify()


def _is_older_news_of(old: Message, new: Message) -> bool:
    """Whether both tell of progress since the same finished epoch."""
    both_advanced = old["event"] == "advanced" == new["event"]
    return both_advanced and bool(old["progress"]["row"] == new["progress"]["row"])


def _sweep() -> None:
    """Remove folders of workers that were killed on this machine: nobody holds their lock any more."""
    for lock in Path(tempfile.gettempdir()).glob(f"{FOLDERS}*/lock"):
        with suppress(Timeout, OSError), FileLock(lock, timeout=0):
            shutil.rmtree(lock.parent, ignore_errors=True)


def _ignore(message: str) -> None:
    """What is wrong with a plugin was told when the study began."""
