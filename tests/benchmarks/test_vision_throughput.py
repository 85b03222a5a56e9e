"""An epoch of pictures by `lab` and by a plain loop; reading 20,000 pictures for the first and the second time.

Both loops have the machine's settings (``lab.training.cpu``), as ``lab run`` chooses them.
"""

from __future__ import annotations

import os

import pytest
import torch
from lab_vision.models import CourseNet
from torch.nn import functional

from lab.training import Checkpoint, Learner
from lab.training.cpu import configured_cpu
from tests.benchmarks.turns import in_turns_anew, seconds, typical_speeds

COUNT, BATCH, ROUNDS, BOUND, FIRST_S, AGAIN_S = 6000, 100, 5, 0.95, 20, 1

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif(not os.environ.get("LAB_DATA"), reason="LAB_DATA is not set: the real pictures are not here"),
]


def test_an_epoch_costs_little_more_than_a_plain_loop(figure, short, tmp_path):
    from lab_vision.sources import cifar10

    count = 1000 if short else COUNT
    data = cifar10(max_examples=count)
    data.valid = None
    with configured_cpu():
        bare, ours = in_turns_anew(lambda: [_plain(data.train), _lab(data, tmp_path)], 1 if short else ROUNDS)
    speeds = typical_speeds(count, ours, bare)
    figure.ratio("a small net on CIFAR-10", **speeds, unit="pictures/s", beside="a plain loop", at_least=BOUND)


def test_pictures_are_decoded_once(figure, tmp_path, monkeypatch):
    from lab_vision.sources import cifar10

    monkeypatch.setenv("LAB_CACHE", str(tmp_path))
    first, again = seconds(cifar10), seconds(cifar10)
    figure.value("20,000 pictures from the zip", first, "s", at_most=FIRST_S)
    figure.value("20,000 pictures from the cache", again, "s", at_most=AGAIN_S)


def _model():
    torch.manual_seed(0)
    return CourseNet(3, 10, widths=(16, 32, 64), stem=3, norm="batch")


def _lab(data, folder):
    learner = Learner(
        _model(), data, functional.cross_entropy, batch_size=BATCH, callbacks=[Checkpoint()], folder=folder,
        progress=False,
    )  # fmt: skip
    return lambda: learner.fit(1)


def _plain(split):
    model = _model()
    optimizer = torch.optim.Adam(model.parameters())

    def epoch():
        model.train()
        for rows in torch.randperm(len(split)).split(BATCH):
            images, target = split.__getitems__(rows)
            functional.cross_entropy(model(images), target).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    return epoch
