"""Initial weights of any model, as an option of an experiment."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from lab.errors import ParameterError
from lab.training.callback import Callback
from lab.training.weights import shard_like

if TYPE_CHECKING:
    from lab.training import Learner

__all__ = ["Init"]

Rule = Literal[
    "normal", "constant", "xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal", "orthogonal"
]

_WHERE = "callback 'init'"


class Init(Callback):
    """Draw the initial weights of every layer by one rule, before the first step.

    ``use("init", weights="kaiming_normal")`` works with any architecture, and so does an own function::

        def uniform(weight, generator):
            weight.uniform_(-0.1, 0.1, generator=generator)

        use("init", weights=uniform)

    Parameters of two and more dimensions are set (matrices, and kernels of convolutions); biases of layers that have
    such a parameter become ``bias``. Embeddings, normalization layers and frozen parameters keep theirs; weights that
    come from an earlier training do not: ``modules`` names the layers that are new. Recurrent layers hold the
    matrices of all gates in one parameter, and the rule sees that parameter as a whole. Each parameter draws from a
    stream of its own, named like the parameter, so that one layer more or less changes no other; all belong to the
    source ``init`` of ``vary``.

    Rules: ``normal`` of standard deviation ``std``; ``constant``, ``value`` everywhere, so that units of a layer stay
    equal (symmetry); ``xavier_*`` (Glorot & Bengio 2010, AISTATS), ``kaiming_*`` for ReLU by the number of inputs (He
    et al. 2015, arXiv:1502.01852) and ``orthogonal`` (Saxe et al. 2014, arXiv:1312.6120), as in ``torch.nn.init``.

    Args:
        weights: a rule, or a function of a parameter, which it changes in place, and a generator.
        gain: of Xavier's rules and ``orthogonal``: factor of the standard deviation.
        std: of ``normal``.
        value: of ``constant``.
        bias: value of the biases; None leaves them.
        modules: names of modules, as ``model.named_modules()`` gives them, whose layers are set; empty for all.

    Raises:
        ParameterError: no layer is left, a module is unknown, ``std`` is negative, or the function leaves
            numbers unset.
    """

    reads_metrics = False

    def __init__(
        self,
        *,
        weights: Rule | Callable[[Tensor, torch.Generator], object] = "xavier_uniform",
        gain: float = 1.0,
        std: float = 0.01,
        value: float = 0.1,
        bias: float | None = 0.0,
        modules: tuple[str, ...] = (),
    ) -> None:
        if std < 0:
            raise ParameterError(f"std must be at least 0, got {std}", where=_WHERE)
        self.weights, self.gain, self.std, self.value = weights, gain, std, value
        self.bias, self.modules = bias, modules

    def check(self, learner: Learner) -> None:
        if not self._layers(learner.model):
            raise ParameterError(
                "no layer has a matrix or a kernel to set",
                where=_WHERE,
                hint="embeddings and normalization layers keep their weights",
            )

    def before_fit(self, learner: Learner) -> None:
        # a resumed run, and a learner that is trained further, have their weights already
        if learner.position.step or learner.epochs_before_fit:
            return
        for name, parameter in self._parameters(learner.model):
            generator = torch.Generator().manual_seed(learner.streams.seed("init", "weights", name))
            # on the CPU, so that every device starts from the same numbers
            drawn = torch.full(parameter.shape, torch.nan)
            if parameter.dim() > 1:
                self._draw(drawn, generator)
            else:
                drawn.fill_(self.bias or 0.0)
            if not drawn.isfinite().all():
                raise ParameterError(
                    f"it left numbers of {name} unset or not finite, of shape {tuple(drawn.shape)}",
                    where=f"{_WHERE}, parameter 'weights'",
                    hint="the function changes its argument in place, as weight.uniform_(-1, 1, generator=generator)",
                )
            with torch.no_grad():
                parameter.copy_(shard_like(drawn.to(parameter.dtype), parameter))

    def _draw(self, weight: Tensor, generator: torch.Generator) -> None:
        if callable(self.weights):
            with torch.no_grad():
                self.weights(weight, generator)
        elif self.weights == "normal":
            nn.init.normal_(weight, std=self.std, generator=generator)
        elif self.weights == "constant":
            nn.init.constant_(weight, self.value)
        elif self.weights == "xavier_uniform":
            nn.init.xavier_uniform_(weight, gain=self.gain, generator=generator)
        elif self.weights == "xavier_normal":
            nn.init.xavier_normal_(weight, gain=self.gain, generator=generator)
        elif self.weights == "kaiming_uniform":
            nn.init.kaiming_uniform_(weight, nonlinearity="relu", generator=generator)
        elif self.weights == "kaiming_normal":
            nn.init.kaiming_normal_(weight, nonlinearity="relu", generator=generator)
        else:
            nn.init.orthogonal_(weight, gain=self.gain, generator=generator)

    def _parameters(self, model: nn.Module) -> list[tuple[str, nn.Parameter]]:
        """Return what is set, by name; a parameter that two modules share once."""
        seen: dict[nn.Parameter, str] = {}
        for path, layer in self._layers(model).items():
            for name, parameter in layer.named_parameters(recurse=False):
                is_set = parameter.dim() > 1 or (self.bias is not None and "bias" in name)
                if is_set and parameter.requires_grad:
                    seen.setdefault(parameter, f"{path}.{name}" if path else name)
        return [(name, parameter) for parameter, name in seen.items()]

    def _layers(self, model: nn.Module) -> dict[str, nn.Module]:
        """Return the modules that hold a matrix or a kernel themselves and are no embeddings, by name."""
        found = dict(model.named_modules())
        unknown = [name for name in self.modules if name not in found]
        if unknown:
            raise ParameterError(
                f"the model has no module '{unknown[0]}'",
                where=f"{_WHERE}, parameter 'modules'",
                hint=f"modules: {', '.join(name for name in found if name)}",
            )
        return {
            name: module
            for name, module in found.items()
            if not isinstance(module, (nn.Embedding, nn.EmbeddingBag))
            and any(parameter.dim() > 1 for parameter in module.parameters(recurse=False))
            and (not self.modules or any(_is_below(name, chosen) for chosen in self.modules))
        }


def _is_below(name: str, chosen: str) -> bool:
    return name == chosen or name.startswith(f"{chosen}.")
