"""Small components and plugins for the tests of registries, studies and the command line."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import attrs
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from lab import Callback, Data, Experiment, RegistrySpec, hookimpl, preset


@attrs.define(eq=False)
class Points(Data):
    """Points on a line, with what models must know of them as facts."""

    features: int = 2


def points(*, size: int = 24, noise: float = 0.1) -> Points:
    """A noisy line in the plane."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(size, 2, generator=generator)
    targets = inputs.sum(1, keepdim=True) + noise * torch.randn(size, 1, generator=generator)
    cut = size * 2 // 3
    return Points(
        TensorDataset(inputs[:cut], targets[:cut]),
        TensorDataset(inputs[cut:], targets[cut:]),
        fingerprint=f"points {size} {noise}",
    )


class Line(nn.Module):
    """A linear model, or a deeper one."""

    def __init__(self, features: int, *, width: int = 0, bias: bool = True) -> None:
        super().__init__()
        sizes = [features, width, 1] if width else [features, 1]
        self.layers = nn.Sequential(*(nn.Linear(a, b, bias=bias) for a, b in itertools.pairwise(sizes)))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layers(inputs)


def squared(output: Tensor, target: Tensor, *, scale: float = 1.0) -> Tensor:
    """Mean squared error."""
    return scale * (output - target).square().mean()


class Worst:
    """The largest absolute error."""

    higher_is_better = False

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.worst = 0.0

    def update(self, output: Tensor, target: Tensor) -> None:
        self.worst = max(self.worst, float((output - target).abs().max()))

    def compute(self) -> float:
        return self.worst


class Nothing(Callback):
    """A callback that does nothing."""

    name = "nothing"

    def __init__(self, *, amount: float = 1.0) -> None:
        self.amount = amount


class Something(Nothing):
    """Another one."""

    name = "something"


def shuffled(size: int, batch_size: int, generator: torch.Generator) -> list[list[int]]:
    """Batches of shuffled indices."""
    return [batch.tolist() for batch in torch.randperm(size, generator=generator).split(batch_size)]


COMPONENTS: dict[str, dict[str, Any]] = {
    "lab_datasets": {"points": points},
    "lab_architectures": {"line": Line, "deep": preset("line", width=4), "deeper": preset("deep", bias=False)},
    "lab_losses": {"squared": squared},
    "lab_rounds": {"search": "lab_search.rounds:next_arms"},
    "lab_samplers": {"shuffle": shuffled, "late": "lab.training.data:ShuffleSampler"},
    "lab_steppers": {"supervised": "lab.training.stepper:Supervised"},
    "lab_callbacks": {
        "checkpoint": "lab.training.checkpoint:Checkpoint",
        "nothing": Nothing,
        "something": Something,
        "loud": preset("nothing", amount=9.0),
    },
    "lab_optimizers": {"adam": "torch.optim:Adam", "sgd": "torch.optim:SGD"},
    "lab_metrics": {"worst": Worst},
    "lab_executors": {"in_process": "lab.study.execute:InProcess"},
}


def experiment(**changes: Any) -> Experiment:
    """A small experiment on the toy components."""
    recipe = {"dataset": "points", "architecture": "line", "loss": "squared", "batch_size": 8, "lr": 0.05, "epochs": 2}
    return Experiment(**{**recipe, **changes})


def plugin_module(name: str = "toys", **hooks: Any) -> ModuleType:
    """A plugin: a value is what the hook of that name returns, a function is the hook itself."""
    module = ModuleType(name)
    for hook, given in hooks.items():
        setattr(module, hook, _implementation(hook, given))
    return module


def _implementation(hook: str, given: Any) -> Any:
    def answer() -> Any:
        return given

    function = given if callable(given) else answer
    function.__name__ = hook
    return hookimpl(function)


# --- a registry of a plugin, and components inside components ---------------------------------------------------------


class Part:
    """The contract of the registry ``parts``."""


class Wheel(Part):
    def __init__(self, *, spokes: int = 8) -> None:
        self.spokes = spokes


class Sail(Part):
    def __init__(self, width: int, *, cloth: str = "linen") -> None:
        self.width, self.cloth = width, cloth


class Cart:
    """Takes parts in every way that there is."""

    def __init__(
        self,
        features: int,
        *,
        wheel: Part | None = "wheel",
        sail: Callable[..., Part] | None = None,
        spares: Sequence[Part] = (),
        load_kg: float = 1.0,
        name: str = "cart",
        sizes: tuple[int, ...] = (1, 2),
        ready: bool = False,
    ) -> None:
        self.features, self.wheel, self.spares, self.load_kg = features, wheel, spares, load_kg
        self.sail = sail(width=3) if sail is not None else None


def carts_plugin(**architectures: Any) -> ModuleType:
    """A plugin that opens the registry ``parts`` and has carts, which are made of them."""
    parts = RegistrySpec("parts", "part", f"{__name__}:Part", "parts of carts")
    return plugin_module(
        lab_registries=[parts],
        lab_parts={"wheel": Wheel, "sail": Sail, "thin_wheel": preset("wheel", spokes=3)},
        lab_architectures={
            "cart": Cart,
            "open_cart": preset("cart", ready=True),
            "open_thin_cart": preset("open_cart", wheel="thin_wheel"),
            **architectures,
        },
    )
