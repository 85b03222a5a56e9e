"""Forward hooks that are always removed, and statistics of activations."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from lab.errors import ParameterError
from lab.training.callback import Callback
from lab_basics.monitor import finished_epoch

if TYPE_CHECKING:
    from lab.training import Learner

__all__ = ["ActivationStats", "Hooks", "SaveFeatures"]


class Hooks:
    """Context manager of forward hooks; ``remove`` may also be called directly, any number of times.

    Args:
        modules: name → module.
        function: called as ``function(name, module, output)`` after every forward pass.
    """

    def __init__(self, modules: Mapping[str, nn.Module], function: Callable[[str, nn.Module, Any], None]) -> None:
        self._handles: list[RemovableHandle] = []
        self._function = function
        for name, module in modules.items():
            self._handles.append(module.register_forward_hook(self._named(name)))

    def remove(self) -> None:
        """Remove all hooks."""
        while self._handles:
            self._handles.pop().remove()

    def __enter__(self) -> Hooks:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def __len__(self) -> int:
        return len(self._handles)

    def _named(self, name: str) -> Callable[[nn.Module, Any, Any], None]:
        # A return value would replace the output.
        def hook(module: nn.Module, _: Any, output: Any) -> None:
            self._function(name, module, output)

        return hook


class SaveFeatures(Hooks):
    """Hooks that keep the outputs of modules in the last forward pass.

    ::

        with SaveFeatures({"encoder": model.encoder}) as saved:
            model(inputs)
        saved.features["encoder"]

    Args:
        modules: one module, or name → module; a single module has the name ``""``.

    Attributes:
        features: name → output of the last forward pass, detached. In fast.ai 2018 it is the tensor itself, which is
            ``features[""]`` here for a single module.
    """

    def __init__(self, modules: nn.Module | Mapping[str, nn.Module]) -> None:
        self.features: dict[str, Any] = {}
        super().__init__({"": modules} if isinstance(modules, nn.Module) else modules, self._save)

    def __enter__(self) -> SaveFeatures:
        return self

    def _save(self, name: str, _: nn.Module, output: Any) -> None:
        self.features[name] = _detached(output)


class ActivationStats(Callback):
    """Record the mean, standard deviation and fraction of near-zero activations of modules in every epoch.

    The artefact ``activation_stats.csv`` and ``rows`` have one row per epoch and module with ``epoch, module, mean,
    std, near_zero``.

    Args:
        modules: names of submodules; by default those with weights and without children.
        every_steps: record every N-th step.
        threshold: largest absolute value that is near zero.
    """

    observer = True

    def __init__(self, *, modules: tuple[str, ...] = (), every_steps: int = 10, threshold: float = 1e-3) -> None:
        if every_steps < 1:
            raise ParameterError(
                f"every_steps must be at least 1, got {every_steps}", where="callback 'activation_stats'"
            )
        self.modules, self.every_steps, self.threshold = modules, every_steps, threshold
        self.rows: list[dict[str, Any]] = []
        self._hooks: Hooks | None = None
        self._sums: dict[str, Tensor] = {}

    def before_fit(self, learner: Learner) -> None:
        self._hooks = Hooks(_chosen_modules(learner.model, self.modules), self._add)
        self._looking = False

    def before_batch(self, learner: Learner) -> None:
        self._looking = learner.position.step % self.every_steps == 0

    def after_batch(self, learner: Learner) -> None:
        self._looking = False

    def after_epoch(self, learner: Learner) -> None:
        row = finished_epoch(learner)
        if row is not None:
            self.rows += [{"epoch": row["epoch"], "module": name, **_stats(sums)} for name, sums in self._sums.items()]
            self._sums = {}
            self._write(learner)

    def after_fit(self, learner: Learner) -> None:
        if self._hooks is not None:
            self._hooks.remove()

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "sums": self._sums}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows, self._sums = list(state["rows"]), dict(state["sums"])

    @torch.no_grad()
    def _add(self, name: str, module: nn.Module, output: Any) -> None:
        # Validation and other forward passes outside a step have other statistics.
        if not self._looking or not module.training:
            return
        # Sums stay on the device until the epoch ends: reading a value would wait for the device at every step.
        values = next(_tensors(output)).float()
        near_zero = values.abs() <= self.threshold
        sums = torch.stack([values.new_tensor(values.numel()), values.sum(), values.square().sum(), near_zero.sum()])
        self._sums[name] = sums.double() + self._sums.get(name, torch.zeros(())).to(sums.device)

    def _write(self, learner: Learner) -> None:
        if learner.folder is None or not self.rows:
            return
        with learner.artefact("activation_stats.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(self.rows[0]))
            writer.writeheader()
            writer.writerows(self.rows)


def _stats(sums: Tensor) -> dict[str, float]:
    count, total, squares, near_zero = sums.tolist()
    mean = total / count
    return {"mean": mean, "std": max(squares / count - mean**2, 0.0) ** 0.5, "near_zero": near_zero / count}


def _chosen_modules(model: nn.Module, names: Iterable[str]) -> dict[str, nn.Module]:
    modules = dict(model.named_modules())
    unknown = [name for name in names if name not in modules]
    if unknown:
        raise ParameterError(
            f"the model has no module '{unknown[0]}'",
            where="callback 'activation_stats', parameter 'modules'",
            hint=f"modules: {', '.join(name for name in modules if name)}",
        )
    return {name: modules[name] for name in names} or {
        name: module
        for name, module in modules.items()
        if not any(module.children()) and any(True for _ in module.parameters())
    }


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))


def _detached(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(_detached, value))
    if isinstance(value, (tuple, list)):
        return type(value)(map(_detached, value))
    if isinstance(value, dict):
        return {key: _detached(item) for key, item in value.items()}
    return value
