"""What the loop costs beside a bare PyTorch loop, with the default callbacks and the progress bar on.

Both sides train the same model on the same batches in one process, in turn; the ratio of their best times is printed.

    pytest tests/benchmarks/test_loop_overhead.py --benchmark-enable -s
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lab.training import Checkpoint, Data, Learner
from lab.training.data import SequentialSampler
from lab.training.progress import EpochProgress

STEPS, BATCH, ROUNDS = 200, 32, 7
BOUNDS = {1.0: 1.05, 10.0: 1.01}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def _model(width: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10))


def _data() -> Data:
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(STEPS * BATCH, 64, generator=generator)
    labels = torch.randint(10, (STEPS * BATCH,), generator=generator)
    return Data(TensorDataset(points, labels), None)


def _bare_loop(width: int, data: Data) -> Callable[[], None]:
    model = _model(width)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    loader = DataLoader(data.train, batch_sampler=SequentialSampler(STEPS * BATCH, BATCH))
    loss_function = nn.functional.cross_entropy

    def epoch() -> None:
        model.train()
        for points, labels in loader:
            loss = loss_function(model(points), labels)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    return epoch


def _with_lab(width: int, data: Data, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)  # the bar is really drawn
    learner = Learner(
        _model(width),
        data,
        nn.functional.cross_entropy,
        optimizer=torch.optim.SGD,
        lr=1e-3,
        batch_size=BATCH,
        sampler=SequentialSampler,
        callbacks=[Checkpoint()],
    )
    assert any(isinstance(callback, EpochProgress) for callback in learner.callbacks)
    return lambda: learner.fit(1) and None


def _width_for(milliseconds: float, data: Data) -> int:
    """The width at which a bare step takes about so long on this machine."""
    width = 32
    while _seconds(_bare_loop(width, data)) / STEPS * 1000 < milliseconds:
        width = int(width * 1.3)
    return width


def _seconds(action: Callable[[], None]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


@pytest.mark.parametrize("milliseconds", sorted(BOUNDS))
def test_the_loop_costs_hardly_more_than_a_bare_one(
    milliseconds: float, benchmark, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if benchmark.disabled:
        pytest.skip("a benchmark: give --benchmark-enable")
    data = _data()
    width = _width_for(milliseconds, data)
    bare, ours = _bare_loop(width, data), _with_lab(width, data, monkeypatch)
    bare(), ours()
    pairs = [(_seconds(bare), _seconds(ours)) for _ in range(ROUNDS)]
    benchmark.pedantic(ours, rounds=1)
    ratio = statistics.median(b / a for a, b in pairs)
    step = [min(times) / STEPS * 1000 for times in zip(*pairs, strict=True)]
    with capsys.disabled():
        print(
            f"\nstep of {step[0]:.2f} ms: bare {step[0]:.3f} ms, lab {step[1]:.3f} ms, "
            f"ratio {ratio:.3f} (median of {ROUNDS}), bound {BOUNDS[milliseconds]}"
        )
    assert ratio <= 2 * BOUNDS[milliseconds] - 1
