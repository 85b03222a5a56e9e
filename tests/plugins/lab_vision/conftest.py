"""What the tests of pictures share."""

from __future__ import annotations

import os

import pytest
import torch
from lab_vision.models import CourseNet
from lab_vision.sources import digits
from torch.nn import functional

from lab import Learner


@pytest.fixture
def lab_data():
    folder = os.environ.get("LAB_DATA")
    if not folder:
        pytest.skip("LAB_DATA is not set: the real pictures are not here")
    return folder


@pytest.fixture(scope="session")
def learner():
    """A small net that knows the digits."""
    torch.manual_seed(0)
    data = digits()
    model = CourseNet(1, 10, widths=(8, 16), stem=3, norm="batch", pool="average")
    learner = Learner(model, data, functional.cross_entropy, lr=1e-2, batch_size=64, progress=False)
    learner.fit_one_cycle(3)
    return learner
