"""An executor that trains runs in threads gives the numbers of one that trains them one after the other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import pytest

from lab import Callback, Experiment, Study, run_study, use


class Threads:
    """Executor of two threads."""

    def submit(self, runs: Any, listener: Any, stop: threading.Event, *, fresh: bool) -> Iterator[Any]:
        with ThreadPoolExecutor(2) as pool:
            jobs = {pool.submit(run.execute, listener, stop, fresh=fresh): run for run in runs}
            for job in as_completed(jobs):
                yield jobs[job], job.result()


def study(*callbacks: Any) -> Study:
    base = Experiment(
        dataset=use("points", count=96),
        architecture=use("mlp", dropout=0.3),
        loss="cross_entropy",
        callbacks=list(callbacks),
        lr=0.1,
        batch_size=16,
        epochs=3,
    )
    return Study(base, seeds=3)


def test_runs_in_threads_have_the_numbers_of_runs_in_turn(tmp_path: Path) -> None:
    threaded = run_study(study(), runs=tmp_path / "threads", executor=use(Threads))
    in_turn = run_study(study(), runs=tmp_path / "turn")
    assert threaded.scores("base", "valid_loss") == in_turn.scores("base", "valid_loss")


class Stops(Callback):
    """Ask for the end while another thread waits for its turn."""

    name = "stops"
    stop: threading.Event

    def after_epoch(self, learner: Any) -> None:
        Stops.stop.set()


class Noting(Threads):
    """Threads, whose event can be set from a callback."""

    def submit(self, runs: Any, listener: Any, stop: threading.Event, *, fresh: bool) -> Iterator[Any]:
        Stops.stop = stop
        yield from super().submit(runs, listener, stop, fresh=fresh)


def test_a_thread_that_waits_for_its_turn_ends_when_it_is_asked_to(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_study(study(Stops), runs=tmp_path, executor=use(Noting))
