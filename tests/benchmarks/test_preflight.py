"""The plan rehearses every arm; an arm more costs at most two training steps and a fifth of a second."""

from __future__ import annotations

import itertools
import statistics
import time
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from lab import Data, Experiment, Study, use
from lab.registry.plugins import Catalog, load_catalog
from lab.study.preflight import plan_study
from lab.study.store import Store
from lab.study.workspace import Workspace

ARMS = 6


def vectors(*, count: int = 100_000, width: int = 512) -> Data:
    """Vectors of ten classes."""
    generator = torch.Generator().manual_seed(0)
    inputs, labels = torch.randn(4096, width, generator=generator), torch.randint(10, (4096,), generator=generator)
    rows = torch.arange(count) % 4096
    return Data(Rows(inputs, labels, rows), TensorDataset(inputs[:1001], labels[:1001]), fingerprint=f"{count} {width}")


class Rows:
    """Many examples in little memory."""

    def __init__(self, inputs: Tensor, labels: Tensor, rows: Tensor) -> None:
        self.inputs, self.labels, self.rows = inputs, labels, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        row = self.rows[index]
        return self.inputs[row], self.labels[row]


class Deep(nn.Module):
    """A perceptron of several layers."""

    def __init__(self, *, layers: int = 6, width: int = 512, slope: float = 0.0) -> None:
        super().__init__()
        sizes = [512, *[width] * layers]
        hidden = [nn.Sequential(nn.Linear(a, b), nn.LeakyReLU(slope)) for a, b in itertools.pairwise(sizes)]
        self.layers = nn.Sequential(*hidden, nn.Linear(sizes[-1], 10))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layers(inputs)


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load_catalog()


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(("layers", "width"), [(2, 64), (6, 512), (8, 1536)], ids=["small", "medium", "large"])
def test_a_further_arm_costs_less_than_two_steps_and_a_fifth_of_a_second(
    tmp_path: Path, catalog: Catalog, figure, short: bool, layers: int, width: int
) -> None:
    base = Experiment(
        dataset=vectors,
        architecture=use(Deep, layers=layers, width=width),
        loss="cross_entropy",
        metrics=["accuracy", "top_k_accuracy"],
        callbacks=["one_cycle", "ema"],
        batch_size=256,
    )
    study = Study(base, seeds=3, name="planned")
    more = study.swap("architecture.slope", {f"arm {number}": number / 100 for number in range(1, ARMS)})
    found = []
    for _ in range(2 if short else 5):
        times = []
        for asked in (study, more):
            started = time.perf_counter()
            plan = plan_study(asked, Workspace(catalog, Store(tmp_path)))
            times.append(time.perf_counter() - started)
        found.append((times[1] - times[0]) / (ARMS - 1))
    step = statistics.median(check.seconds_per_step for check in plan.checks.values())
    what = f"planning one more arm, {layers} layers of {width}"
    allowed = 1000 * (2 * step + 0.2)
    figure.ratio(
        what, lab=1000 * statistics.median(found), peer=allowed, unit="ms", beside="two steps + 0.2 s", at_most=1
    )
