"""Generated points and a multilayer perceptron, for examples and tests."""

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
from lab_basics.checks import check_probabilities, check_sizes

__all__ = ["MLP", "PointsData", "Task", "points"]

Task = Literal["classes", "yes_no", "value"]


@attrs.define(eq=False, kw_only=True)
class PointsData(Data):
    """Points with targets.

    Attributes:
        input_size: coordinates of a point.
        output_size: number of classes, or 1.
    """

    input_size: int
    output_size: int

    def split_facts(self, split: Any) -> dict[str, Any]:
        """Return ``targets``, what is to be predicted of each point: the number of its cluster for ``classes``."""
        return {"targets": split.tensors[-1]}


def points(
    *,
    task: Task = "classes",
    count: int = 600,
    input_size: int = 8,
    classes: int = 6,
    noise: float = 0.5,
    data_seed: int = 0,
) -> PointsData:
    """Gaussian clusters of points: three quarters for training, an eighth each for validation and test.

    Args:
        task: ``classes`` predicts the number of a point's cluster, ``yes_no`` whether that number is even (1.0 or 0.0),
            ``value`` the distance of the point to the origin.
        count: number of points, at least 16.
        input_size: coordinates of a point.
        classes: number of clusters.
        noise: standard deviation within a cluster; that of the centers is 1.
        data_seed: seed of the data.

    Shapes:
        inputs (B, input_size); target (B) long for ``classes``, (B, 1) float otherwise.

    Raises:
        ParameterError: there are too few points, coordinates or classes.
    """
    if count < 16 or input_size < 1 or classes < 2:
        given = f"count={count}, input_size={input_size}, classes={classes}"
        raise ParameterError(f"too small: {given}", where="dataset 'points'", hint="at least 16, 1 and 2")
    generator = torch.Generator().manual_seed(data_seed)
    centers = torch.randn(classes, input_size, generator=generator)
    numbers = torch.arange(count) % classes
    inputs = centers[numbers] + noise * torch.randn(count, input_size, generator=generator)
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
    """Multilayer perceptron with ReLU.

    Args:
        input_size: width of the input.
        output_size: width of the output.
        hidden_size: width of the hidden layers.
        layers: number of hidden layers, at least 1.
        dropout: dropout probability after every hidden layer.

    Shapes:
        (B, input_size) -> (B, output_size)

    Raises:
        ParameterError: a width, a number of layers or a probability is out of range.
    """

    def __init__(
        self, input_size: int, output_size: int, *, hidden_size: int = 32, layers: int = 1, dropout: float = 0.0
    ) -> None:
        super().__init__()
        check_sizes("architecture 'mlp'", hidden_size=hidden_size, layers=layers)
        check_probabilities("architecture 'mlp'", dropout=dropout)
        widths = [input_size, *[hidden_size] * layers]
        blocks: list[Any] = []
        with part("hidden"):
            for before, after in itertools.pairwise(widths):
                blocks += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(dropout)]
            self.hidden = nn.Sequential(*blocks)
        with part("output"):
            self.output = nn.Linear(hidden_size, output_size)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the output (B, output_size)."""
        return self.output(self.hidden(inputs))
