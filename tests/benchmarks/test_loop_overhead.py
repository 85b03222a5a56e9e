"""Overhead of the loop beside a bare PyTorch loop, with the default callbacks and the progress bar on; and its peers.

All sides train the same model on the same batches in one process, in turns; a ratio is the median over the turns.
The peers are measured without progress bars, loggers and checkpoints, which is to their advantage.
"""

from __future__ import annotations

import io
import logging
import statistics
import sys
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from lab.training import Checkpoint, Data, Learner
from lab.training.data import SequentialSampler
from lab.training.progress import EpochProgress
from tests.benchmarks.turns import Action, in_turns, seconds, typical_ratio

BATCH = 32
BOUNDS = {1.0: 1.05, 10.0: 1.01}
SHORT_STEP_MS, SHORT_STEP_BOUND = 0.6, 1.15
CALLS_BOUND = 30

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def steps(short: bool, milliseconds: float) -> int:
    """Steps of an epoch: fewer of the long ones, so that it takes a second or so."""
    return (60 if short else 200) if milliseconds < 10 else (20 if short else 60)


class Terminal(io.StringIO):
    """Where the bar is really drawn, and nobody sees it."""

    def isatty(self) -> bool:
        return True


def new_model(width: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10))


def new_data(steps: int) -> Data:
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(steps * BATCH, 64, generator=generator)
    labels = torch.randint(10, (steps * BATCH,), generator=generator)
    return Data(TensorDataset(points, labels), None)


def batches_of(data: Data) -> DataLoader[Any]:
    return DataLoader(data.train, batch_sampler=SequentialSampler(len(data.train), BATCH))


def bare(width: int, data: Data, losses: list[Tensor] | None = None) -> Action:
    model = new_model(width)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    loader, loss_of = batches_of(data), nn.functional.cross_entropy

    def epoch() -> None:
        model.train()
        for points, labels in loader:
            loss = loss_of(model(points), labels)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            if losses is not None:
                losses.append(loss.detach())

    return epoch


def over_slices(width: int, data: Data) -> Action:
    """A loop without any loader: slices of the tensors."""
    model = new_model(width)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    points, labels = data.train.tensors

    def epoch() -> None:
        model.train()
        for start in range(0, len(points), BATCH):
            output = model(points[start : start + BATCH])
            nn.functional.cross_entropy(output, labels[start : start + BATCH]).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    return epoch


def with_lab(width: int, data: Data) -> Action:
    learner = Learner(
        new_model(width),
        data,
        nn.functional.cross_entropy,
        optimizer=torch.optim.SGD,
        lr=1e-3,
        batch_size=BATCH,
        sampler=SequentialSampler,
        callbacks=[Checkpoint()],
    )
    assert any(isinstance(callback, EpochProgress) for callback in learner.callbacks)
    return lambda: learner.fit(1)


def with_lightning(width: int, data: Data) -> Action:
    lightning = import_module("lightning")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    class Module(lightning.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.model = new_model(width)

        def training_step(self, batch: Any, _: int) -> Tensor:
            return nn.functional.cross_entropy(self.model(batch[0]), batch[1])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=1e-3)

    module, loader = Module(), batches_of(data)

    def epoch() -> None:
        trainer = lightning.Trainer(
            max_epochs=1,
            accelerator="cpu",
            logger=False,
            enable_progress_bar=False,
            enable_checkpointing=False,
            enable_model_summary=False,
        )
        trainer.fit(module, loader)

    return epoch


def with_skorch(width: int, data: Data) -> Action:
    skorch = import_module("skorch")
    net = skorch.NeuralNet(
        new_model(width),
        nn.CrossEntropyLoss,
        lr=1e-3,
        train_split=None,
        iterator_train=lambda dataset, **_: batches_of(data),
        callbacks__print_log=None,
    ).initialize()
    return lambda: net.partial_fit(data.train, None, epochs=1)


def with_fastai(width: int, data: Data) -> Action:
    fastai = import_module("fastai.basics")
    loader = batches_of(data)
    learner = fastai.Learner(
        fastai.DataLoaders(loader, loader),
        new_model(width),
        loss_func=nn.functional.cross_entropy,
        opt_func=fastai.SGD,
        lr=1e-3,
        cbs=[],
    )

    class NoValidation(fastai.Callback):  # type: ignore[misc, name-defined]
        def before_validate(self) -> None:
            raise fastai.CancelValidException

    learner.add_cb(NoValidation())

    def epoch() -> None:
        with learner.no_logging():
            learner.fit(1)

    return epoch


PEERS = {"Lightning": with_lightning, "skorch": with_skorch, "fastai": with_fastai}
MODULES = {"Lightning": "lightning", "skorch": "skorch", "fastai": "fastai"}


def width_for(milliseconds: float, loop: Callable[[int, Data], Action] = bare) -> int:
    """The width at which a bare step takes about so long on this machine, when nothing disturbs it."""
    width, data = 32, new_data(40)
    for _ in range(15):
        taken = min(seconds(loop(width, data)) for _ in range(3)) / 40 * 1000
        if 0.9 < taken / milliseconds < 1.1:
            break
        width = round(width * min(max((milliseconds / taken) ** 0.5, 0.7), 1.5))
    return width


@pytest.mark.parametrize("milliseconds", sorted(BOUNDS))
def test_the_loop_costs_hardly_more_than_a_bare_one(milliseconds, steps, short, figure):
    data, width = new_data(steps), width_for(milliseconds)
    with redirect_stderr(Terminal()):
        theirs, ours = in_turns([bare(width, data), with_lab(width, data)], 3 if short else 15)
    per_step = 1000 / steps * statistics.median(theirs)
    figure.ratio(
        f"a step of {milliseconds:g} ms",
        lab=per_step * typical_ratio(ours, theirs),
        peer=per_step,
        unit="ms a step",
        beside="a bare loop",
        at_most=BOUNDS[milliseconds],
    )


def test_a_short_step_costs_hardly_more_than_in_a_loop_over_slices(short, figure):
    steps = 60 if short else 300
    data, width = new_data(steps), width_for(SHORT_STEP_MS, over_slices)
    with redirect_stderr(Terminal()):
        theirs, ours = in_turns([over_slices(width, data), with_lab(width, data)], 3 if short else 15)
    per_step = 1000 / steps * statistics.median(theirs)
    figure.ratio(
        f"a step of {SHORT_STEP_MS:g} ms",
        lab=per_step * typical_ratio(ours, theirs),
        peer=per_step,
        unit="ms a step",
        beside="a bare loop over slices of the tensors",
        at_most=SHORT_STEP_BOUND,
    )


def extra_calls_per_batch() -> float:
    """Python calls per batch with the default callbacks, less those of a loop over slices."""

    def calls(make: Callable[[int, Data], Action], batches: int) -> int:
        epoch, counted = make(4, new_data(batches)), 0

        def count(_: object, event: str, __: object) -> None:
            nonlocal counted
            counted += event == "call"

        epoch()  # torch looks up much in its first steps
        sys.setprofile(count)
        try:
            epoch()
        finally:
            sys.setprofile(None)
        return counted

    # the difference of two epochs leaves out what happens once in each
    return sum(sign * (calls(with_lab, n) - calls(over_slices, n)) / 100 for sign, n in ((-1, 50), (1, 150)))


def test_the_loop_makes_few_calls_per_batch(figure):
    figure.value("calls per batch beside a loop over slices", extra_calls_per_batch(), "calls", at_most=CALLS_BOUND)


@pytest.mark.parametrize("milliseconds", sorted(BOUNDS))
def test_the_loop_is_ahead_of_its_peers(milliseconds, steps, short, figure):
    data = new_data(steps)
    with warnings.catch_warnings(), redirect_stderr(Terminal()):
        warnings.simplefilter("ignore")
        width = width_for(milliseconds)
        peers = {name: PEERS[name](width, data) for name in PEERS if find_spec(MODULES[name])}
        if not peers:
            pytest.skip("neither Lightning nor skorch nor fastai is installed: pip install -e '.[bench]'")
        plain, ours, *theirs = in_turns([bare(width, data), with_lab(width, data), *peers.values()], 3 if short else 7)
    per_step = 1000 / steps * statistics.median(plain)
    for peer, taken in zip(peers, theirs, strict=True):
        figure.ratio(
            f"a step of {milliseconds:g} ms, beside {peer}",
            lab=per_step * typical_ratio(ours, plain),
            peer=per_step * typical_ratio(taken, plain),
            unit="ms a step",
            beside=peer,
            at_most=1.0,
        )
