"""One small regression for all tests that train."""

from __future__ import annotations

import pytest
import torch
from lab_basics import losses
from torch import nn

from lab.training import Data, Learner


class Points:
    """A few points near a plane."""

    def __init__(self, size, seed):
        generator = torch.Generator().manual_seed(seed)
        self.inputs = torch.randn(size, 3, generator=generator)
        noise = torch.randn(size, generator=generator)
        self.target = self.inputs @ torch.tensor([1.0, -2.0, 0.5]) + 0.1 * noise

    def __len__(self):
        return len(self.target)

    def __getitem__(self, index):
        return self.inputs[index], self.target[index]


@pytest.fixture
def make_learner():
    def make(*, model=None, size=40, batch_size=10, lr=0.05, optimizer=torch.optim.SGD, loss=losses.mse, **options):
        torch.manual_seed(0)
        model = model or nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
        data = Data(Points(size, 1), Points(20, 2))
        return Learner(model, data, loss, optimizer=optimizer, lr=lr, batch_size=batch_size, progress=False, **options)

    return make
