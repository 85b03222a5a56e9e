"""Writing a checkpoint of a hundred million parameters beside writing its tensors with safetensors alone."""

from __future__ import annotations

import os
import statistics
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from torch.utils.data import TensorDataset

from lab.files import sync
from lab.training import Data, Learner
from lab.training.checkpoint import save_checkpoint
from lab.training.weights import write_tree
from tests.benchmarks.turns import Action, seconds


def with_empty_buffers(action: Action) -> float:
    """Seconds of a write that waits for nobody else's."""
    os.sync()
    return seconds(action)


def test_a_checkpoint_costs_little_more_than_its_tensors(tmp_path: Path, short: bool, figure) -> None:
    """Weights alone, as nothing was trained; both sides wait for the disk."""
    width = 1000 if short else 5000
    model = nn.Sequential(*(nn.Linear(width, width) for _ in range(4)))
    points = torch.zeros(2, width)
    learner = Learner(model, Data(TensorDataset(points, points), None), nn.functional.mse_loss, progress=False)
    state = learner.state_dict()
    (tmp_path / "plain").mkdir()
    (tmp_path / "ours").mkdir()

    def plain() -> None:
        path = tmp_path / "plain" / "model.safetensors"
        save_file(model.state_dict(), path)
        write_tree(state, tmp_path / "plain", "state")
        sync(path)

    def lab() -> None:
        save_checkpoint(learner, tmp_path / "ours")

    pairs = [(with_empty_buffers(plain), with_empty_buffers(lab)) for _ in range(5)]
    bare, ours = (statistics.median(times) for times in zip(*pairs, strict=True))
    count = sum(weight.numel() for weight in model.parameters())
    what = f"a checkpoint of {count / 1e6:.0f} M parameters"
    figure.ratio(what, lab=ours, peer=bare, unit="s", beside="safetensors' own write", at_most=1.3)
