"""Several processes that train one model: what one process sees, they see together."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch
from lab_executors import torchrun
from torch import distributed

from lab.study.execute import SilentListener
from lab.study.run import Run
from lab.study.store import Store
from lab.study.workspace import Workspace
from lab.training.data import EpochSampler, SequentialSampler
from lab.training.distributed.collectives import pack, unpack
from lab.training.rng import Streams
from tests.kernel.kill_study import finish, outcome, start
from tests.kernel.several_processes import (
    alike,
    alone_and_together,
    ended,
    stop_after_a_checkpoint,
    train_together,
    write_study,
)

LEARNER = """
from torchmetrics import SumMetric

class Right(SumMetric):
    # how many are right, by torchmetrics, which would gather by itself
    def update(self, output, target):
        super().update((output.argmax(1) == target).sum())

body = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
learner = Learner(body, data, nn.functional.cross_entropy, lr=1e-2, batch_size=19, progress=False,
                  metrics={"accuracy": Accuracy(), "f1": F1(), "right": Right()},
                  stepper=Supervised(accumulate=2, clip=0.5, precision=sys.argv[2]))
learner.freeze_to(0)
learner.fit(2)
body[0].requires_grad_(False)
found = without_seconds(learner.fit(1))
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return write_study(tmp_path, seeds=2)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_two_processes_have_the_loss_curve_and_the_metrics_of_one(tmp_path: Path, precision: str) -> None:
    alone, together = alone_and_together(tmp_path, LEARNER, precision)
    tolerance = 1e-5 if precision == "float32" else 2e-2
    assert together == [pytest.approx(row, abs=tolerance) for row in alone]


def test_a_study_that_torchrun_trained_and_was_killed_has_the_figures_of_one_process_and_keys_of_its_own(
    study: Path, tmp_path: Path
) -> None:
    together, alone = tmp_path / "together", tmp_path / "alone"
    stop_after_a_checkpoint(train_together(study, together), together)
    ended(train_together(study, together))
    finish(start(study, alone))
    alike(alone, together)
    assert not outcome(alone).keys() & outcome(together).keys()


@pytest.mark.slow
def test_dropout_of_every_process_goes_on_where_it_was(tmp_path: Path) -> None:
    study = write_study(tmp_path, seeds=1, dropout=True)
    killed, peaceful = tmp_path / "killed", tmp_path / "peaceful"
    stop_after_a_checkpoint(train_together(study, killed), killed)
    ended(train_together(study, killed))
    ended(train_together(study, peaceful))
    assert outcome(killed) == outcome(peaceful)


def test_a_pool_of_workers_is_refused_under_torchrun(study: Path, tmp_path: Path) -> None:
    process = train_together(study, tmp_path / "runs", "--workers", "2")
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "torchrun's processes train every run together, one run after the other\n" in errors


def test_the_parts_of_a_batch_are_the_batch_without_repetition() -> None:
    parts = [list(EpochSampler(SequentialSampler(17, 5), Streams(0), rank=rank, ranks=2)) for rank in range(2)]
    together = [sorted([*one, *other]) for one, other in zip(*parts, strict=True)]
    assert together == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [10, 11, 12, 13, 14], [15, 16]]


def test_a_batch_of_fewer_examples_than_processes_is_seen_whole_by_each() -> None:
    parts = [list(EpochSampler(SequentialSampler(4, 3), Streams(0), rank=rank, ranks=2))[-1] for rank in range(2)]
    assert parts == [[3], [3]]


def test_what_processes_tell_each_other_comes_out_as_it_went_in() -> None:
    tree = {"loss": torch.tensor([1.5, 2.0]), "words": ["a", "é"], "pair": (1, None), "empty": torch.zeros(0)}
    found = unpack(pack(tree))
    assert found["words"] == ["a", "é"]
    assert found["pair"] == (1, None)
    assert torch.equal(found["loss"], tree["loss"])
    assert found["empty"].shape == (0,)


def test_a_run_that_another_study_trains_is_waited_for_without_asking_the_other_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, stop, said = Store(tmp_path), threading.Event(), []
    run = Run("study", "base", 0, "0" * 20, None, Workspace(None, store), None)  # type: ignore[arg-type]

    class Waiting(SilentListener):
        def run_waits(self, run: Run) -> None:
            stop.set()

    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torchrun, "broadcast", lambda message: said.append(message))
    with store.lock(run.key), pytest.raises(KeyboardInterrupt):
        next(torchrun.TorchrunExecutor().submit([run], Waiting(), stop, fresh=False))
    assert said == [{}, {"key": ""}], "no all-reduce, for which there is no process group here; the others may end"


def test_a_stop_is_agreed_on_at_every_sixteenth_step_and_is_set_asks_no_other_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(distributed, "all_reduce", lambda flag: asked.append(int(flag)))
    own = threading.Event()
    stop = torchrun.SynchronizedStop(own)
    own.set()
    for step in range(1, 16):
        stop.sync(step)
        assert not stop.is_set()
    stop.sync(16)
    assert stop.is_set()
    assert asked == [1]
