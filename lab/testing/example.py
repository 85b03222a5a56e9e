"""Example data that components are tried on. The kit owns none; plugins supply theirs with ``lab_conformance``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lab.training.data import Data, SequentialSampler
from lab.training.stepper import Stepper, Supervised

if TYPE_CHECKING:
    from lab.study.experiment import Experiment

__all__ = ["Example"]


class Example(ABC):
    """A small data set, and how models for it are used.

    A subclass gives the data, a model, a loss, and an output such as a model would give; the rest follows the
    convention ``*inputs, target = batch`` unless it is overridden.

    Attributes:
        name: its name in messages.
        batch_dim: the dimension of outputs and targets along which examples are counted.
        kinds: kinds of components that it is meant for; empty for all.
        has_flat_targets: whether a batch is ``(inputs, target)`` with one row per example. Components that ask the data
            for nothing are tried on such data alone, unless they name another.
    """

    name: str = ""
    batch_dim: int = 0
    kinds: tuple[str, ...] = ()
    has_flat_targets: bool = True

    @abstractmethod
    def make_data(self) -> Data:
        """Return the data: about two dozen training examples."""

    @abstractmethod
    def model(self) -> nn.Module:
        """Return a small model for it, without dropout or any other randomness in its forward pass."""

    @abstractmethod
    def loss(self, output: Any, target: Any) -> Tensor:
        """Return a loss for it."""

    @abstractmethod
    def output(self, batch: Any, generator: torch.Generator) -> Tensor:
        """Return a random output of the shape that a model gives for ``batch``."""

    @abstractmethod
    def perfect_output(self, batch: Any) -> Tensor:
        """Return the output of a model that predicts every target of ``batch`` with certainty."""

    def stepper(self) -> Stepper:
        """Return the stepper that trains its model."""
        return Supervised()

    def forward(self, model: nn.Module, batch: Any) -> Tensor:
        """Return the output of a model for a batch."""
        *inputs, _ = batch
        output: Tensor = model(*inputs)
        return output

    def target(self, batch: Any) -> Tensor:
        """Return the target in a batch."""
        target: Tensor = batch[-1]
        return target

    def wrong_shape_batch(self, batch: Any) -> Any:
        """Return the batch with a shape that no model can take; by default the input's last dimension is one wider."""
        first, *rest = batch
        return type(batch)([torch.cat([first, first[..., :1]], -1), *rest])

    def with_extra_padding(self, batch: Any) -> Any | None:
        """Return the batch with more padding, or None if examples have no length."""
        return None

    def padding_mask(self, batch: Any) -> Tensor | None:
        """Return a bool tensor over an output's leading dimensions, true at padding; None if nothing is padded."""
        return None

    def experiment(self) -> Experiment | None:
        """Return a study's base on data of this kind that trains in a second, or None; executors are tried on it."""
        return None

    @cached_property
    def data(self) -> Data:
        """The data, made once."""
        return self.make_data()

    @cached_property
    def facts(self) -> dict[str, Any]:
        """The facts that components may ask for."""
        return self.data.facts()

    def batch(self, split: str = "train", size: int = 4) -> Any:
        """Return the first examples of a split as a batch."""
        return self.batches(split, size)[0]

    def batches(self, split: str, size: int) -> list[Any]:
        """Return a whole split in batches."""
        examples = self.data.split(split)
        return list(self.data.loader(examples, SequentialSampler(len(examples), size)))
