"""Example data: what components are tried on. The kit owns none; plugins offer theirs with ``lab_conformance``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import attrs
import torch
from torch import Tensor, nn

from lab.registry.component import Reference
from lab.training.data import Data, SequentialSampler
from lab.training.stepper import Stepper, Supervised

if TYPE_CHECKING:
    from lab.study.experiment import Experiment
    from lab.testing.conformance import Conformance

__all__ = ["Example", "Offer", "Trial"]


class Example(ABC):
    """A small data, and how models for it are used.

    A subclass gives the data, a model, a loss, and an output such as a model would give; the rest follows the
    convention ``*inputs, target = batch`` unless it is overridden.

    Attributes:
        name: how messages call it.
        batch_dim: the dimension of outputs and targets along which examples are counted.
        kinds: kinds of components that it is meant for; empty for all.
        is_plain: whether a batch is ``(inputs, target)`` with one row per example. Components that ask the data for
            nothing are tried on plain data alone, unless they name another.
    """

    name: str = ""
    batch_dim: int = 0
    kinds: tuple[str, ...] = ()
    is_plain: bool = True

    @abstractmethod
    def make_data(self) -> Data:
        """The data: about two dozen training examples."""

    @abstractmethod
    def model(self) -> nn.Module:
        """A small model for it, without dropout or any other randomness in its forward pass."""

    @abstractmethod
    def loss(self, output: Any, target: Any) -> Tensor:
        """A loss for it."""

    @abstractmethod
    def output(self, batch: Any, generator: torch.Generator) -> Tensor:
        """A random output of the shape that a model gives for ``batch``."""

    @abstractmethod
    def perfect(self, batch: Any) -> Tensor:
        """The output of a model that knows every target of ``batch``, and is sure of it."""

    def stepper(self) -> Stepper:
        """How its model is trained."""
        return Supervised()

    def forward(self, model: nn.Module, batch: Any) -> Tensor:
        """The output of a model for a batch."""
        *inputs, _ = batch
        output: Tensor = model(*inputs)
        return output

    def target(self, batch: Any) -> Tensor:
        """The target in a batch."""
        target: Tensor = batch[-1]
        return target

    def wrong(self, batch: Any) -> Any:
        """The same batch with a shape that no model can take; by default the input's last dimension is one too wide."""
        first, *rest = batch
        return type(batch)([torch.cat([first, first[..., :1]], -1), *rest])

    def pad_more(self, batch: Any) -> Any | None:
        """The same batch with more padding, or None where examples have no length."""
        return None

    def real(self, batch: Any) -> Tensor | None:
        """Which positions of an output are not padding, bool over its leading dimensions; None where all are real."""
        return None

    def experiment(self) -> Experiment | None:
        """A study's base on data of this kind that trains in a second, or None; executors are tried on it."""
        return None

    @cached_property
    def data(self) -> Data:
        """The data, made once."""
        return self.make_data()

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What components may ask for."""
        return self.data.facts()

    def batch(self, split: str = "train", size: int = 4) -> Any:
        """The first examples of a split as a batch."""
        examples = self.data.split(split)
        return next(iter(self.data.loader(examples, SequentialSampler(len(examples), size))))

    def batches(self, split: str, size: int) -> list[Any]:
        """A whole split in batches."""
        examples = self.data.split(split)
        return list(self.data.loader(examples, SequentialSampler(len(examples), size)))


@attrs.frozen
class Trial:
    """How the kit tries a component whose signature does not say enough.

    Attributes:
        component: the component with parameters that the example data need; None takes it as it is.
        examples: names of the example data that it is meant for; empty for all that it works on.
        exceptions: check → why it does not apply to this component; it is left out.
    """

    component: Reference = None
    examples: tuple[str, ...] = ()
    exceptions: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen
class Offer:
    """What a plugin gives to the conformance kit; the hook ``lab_conformance`` names a function that gives one.

    Attributes:
        examples: name → class or function that gives an ``Example``.
        kinds: registry → the ``Conformance`` class that checks its components, for registries that the plugin opened.
        trials: ``"kind.name"``, for example ``"callbacks.multistep"`` → how that component is tried.
    """

    examples: Mapping[str, Callable[[], Example]] = attrs.field(factory=dict)
    kinds: Mapping[str, type[Conformance]] = attrs.field(factory=dict)
    trials: Mapping[str, Trial] = attrs.field(factory=dict)
