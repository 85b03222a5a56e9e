"""Points on a plane of any width: a generated dataset and a model for it, for first steps, examples and tests."""

from __future__ import annotations

import hashlib
import itertools
from typing import Any, Literal

import attrs
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from lab.errors import ParameterError
from lab.training.data import Data
from lab.training.rng import part

__all__ = ["MLP", "PointsData", "Task", "points"]

Task = Literal["classes", "yes_no", "value"]


@attrs.define(eq=False, kw_only=True)
class PointsData(Data):
    """Points and what is to be said of each.

    Attributes:
        input_size: coordinates of a point.
        output_size: numbers that a model gives per point: one per class, or 1.
    """

    input_size: int
    output_size: int


def points(
    *,
    task: Task = "classes",
    count: int = 600,
    input_size: int = 8,
    classes: int = 6,
    noise: float = 0.5,
    data_seed: int = 0,
) -> PointsData:
    """Clouds of points around random centres, three quarters to train on, an eighth each to validate and to test.

    Args:
        task: ``classes`` asks for the number of a point's centre, ``yes_no`` whether that number is even (1.0 or 0.0),
            ``value`` for the point's distance to the origin.
        count: number of points, at least 16.
        input_size: coordinates of a point.
        classes: number of centres.
        noise: standard deviation of a cloud; the centres have 1.
        data_seed: another seed gives another dataset.

    Shapes:
        inputs (B, input_size); target (B) long for ``classes``, (B, 1) float otherwise.

    Raises:
        ParameterError: there are too few points, coordinates or classes.
    """
    if count < 16 or input_size < 1 or classes < 2:
        given = f"count={count}, input_size={input_size}, classes={classes}"
        raise ParameterError(f"too small: {given}", where="dataset 'points'", hint="at least 16, 1 and 2")
    generator = torch.Generator().manual_seed(data_seed)
    centres = torch.randn(classes, input_size, generator=generator)
    numbers = torch.arange(count) % classes
    inputs = centres[numbers] + noise * torch.randn(count, input_size, generator=generator)
    target = _target(task, inputs, numbers)
    order = torch.randperm(count, generator=generator)
    bounds = [0, count * 3 // 4, count * 7 // 8, count]
    train, valid, test = (
        TensorDataset(inputs[order[start:end]], target[order[start:end]]) for start, end in itertools.pairwise(bounds)
    )
    return PointsData(
        train=train,
        valid=valid,
        test=test,
        fingerprint=_fingerprint(inputs, target, order),
        input_size=input_size,
        output_size=classes if task == "classes" else 1,
    )


def _target(task: Task, inputs: Tensor, numbers: Tensor) -> Tensor:
    if task == "classes":
        return numbers
    return inputs.norm(dim=1, keepdim=True) if task == "value" else 1.0 - (numbers % 2).float()[:, None]


def _fingerprint(*tensors: Tensor) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


class MLP(nn.Module):
    """A multilayer perceptron with rectified linear units.

    Args:
        input_size: width of the input.
        output_size: width of the output.
        hidden_size: width of the hidden layers.
        layers: how many hidden layers, at least 1.
        dropout: probability behind every hidden layer.

    Shapes:
        (B, input_size) -> (B, output_size)
    """

    def __init__(
        self, input_size: int, output_size: int, *, hidden_size: int = 32, layers: int = 1, dropout: float = 0.0
    ) -> None:
        super().__init__()
        if layers < 1:
            raise ParameterError(f"layers must be at least 1, got {layers}", where="architecture 'mlp'")
        widths = [input_size, *[hidden_size] * layers]
        blocks: list[Any] = []
        with part("hidden"):
            for before, after in itertools.pairwise(widths):
                blocks += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(dropout)]
            self.hidden = nn.Sequential(*blocks)
        with part("output"):
            self.output = nn.Linear(hidden_size, output_size)

    def forward(self, inputs: Tensor) -> Tensor:
        """Hidden layers, then the output."""
        return self.output(self.hidden(inputs))
