"""Steppers: how a batch becomes a step, with what everyday training adds to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from lab.errors import ParameterError, describe
from lab.training.means import Weight, element_count, loss_weight
from lab.training.stepper import Evaluation, Stepper, plain_batch
from lab.training.weights import full_tensor, shard_like

if TYPE_CHECKING:
    from lab.training import Learner

__all__ = ["ActivationRegularised", "LossStepper", "Supervised"]

Precision = Literal["float32", "bfloat16", "float16"]


class LossStepper(Stepper):
    """Base class of steppers that make one loss of a batch: clipping, accumulation, mixed precision, compilation.

    A subclass overrides ``train_loss`` and ``evaluate``. The norm of all gradients before the last clipping is in
    ``gradient_norm``, on the device.

    Args:
        clip: the largest norm of all gradients together; a larger one is scaled down to it. None does not clip.
        accumulate: batches whose gradients are averaged into one step; what is left of them when an epoch ends is a
            step of its own, averaged over as many as there are.
        precision: the type of autocast's fast operations. ``float16`` also scales the loss, so that small gradients
            survive, and leaves out steps in which they overflow.
        compile: run the model through ``torch.compile``; a model that it refuses runs as it is, with a warning.
    """

    def __init__(
        self,
        *,
        clip: float | None = None,
        accumulate: int = 1,
        precision: Precision = "float32",
        compile: bool = False,  # noqa: A002 (torch's own word)
    ) -> None:
        if clip is not None and clip <= 0:
            raise ParameterError(f"clip must be positive, got {clip}", where="stepper", hint="clip=None does not clip")
        if accumulate < 1:
            raise ParameterError(f"accumulate must be at least 1, got {accumulate}", where="stepper")
        self.clip, self.accumulate, self.precision, self.compile = clip, accumulate, precision, compile
        self.gradient_norm: Tensor | None = None
        self._pending = 0
        self._scaler: torch.amp.GradScaler | None = None
        self._compiled: Callable[..., Any] | None = None
        self._weight_of_loss: Weight | None = None

    def train_loss(self, batch: Any) -> Tensor:
        """The scalar loss of a training batch, with its graph."""
        raise NotImplementedError

    def evaluate(self, batch: Any) -> Evaluation:
        """What ``valid_step`` gives, without a word on precision."""
        raise NotImplementedError

    def loss(self, output: Any, target: Any) -> Tensor:
        """The learner's loss; of several processes each remembers how many elements it was the mean over."""
        if self.learner.distributed.world_size > 1:
            self._weight_of_loss = loss_weight(self.learner.loss, output, target)
        return self.learner.loss(output, target)

    def weight(self, batch: Any) -> Weight:
        """The number of elements that the loss of a training batch is the mean over.

        It is what the learner's loss states if ``train_loss`` calls ``self.loss``, else the number of elements of the
        target, by convention the last of the batch. Only asked for where processes share a batch, whose parts count by
        it; a subclass with another mean overrides it.
        """
        return element_count(batch[-1]) if self._weight_of_loss is None else self._weight_of_loss

    @property
    def model(self) -> Callable[..., Any]:
        """The learner's model, compiled where that was asked for."""
        return self._compiled or self.learner.model

    def attach(self, learner: Learner) -> None:
        super().attach(learner)
        if self.precision == "float16":
            self._scaler = torch.amp.GradScaler(learner.device.type)
        if self.compile:
            self._compiled = _compiled(learner)

    def train_step(self, batch: Any) -> Tensor:
        with self._autocast():
            loss = self.train_loss(batch)
        self.backward(loss, self.weight(batch) if self.learner.distributed.world_size > 1 else None)
        self._pending += 1
        if self._pending == self.accumulate:
            self.optimizer_step()
        return loss.detach()

    def valid_step(self, batch: Any) -> Evaluation:
        with self._autocast():
            return self.evaluate(batch)

    def make_gradients(self, loss: Tensor) -> None:
        super().make_gradients(loss if self._scaler is None else self._scaler.scale(loss))

    def optimizer_step(self) -> None:
        self._prepare_gradients()
        self._pending = 0
        if self._scaler is None:
            super().optimizer_step()
            return
        with self.learner.level("step"):
            self._scaler.step(self.learner.optimizer)
        self._scaler.update()
        self.learner.optimizer.zero_grad(set_to_none=True)

    def finish_epoch(self) -> None:
        if self._pending:
            self.optimizer_step()

    def state_dict(self) -> dict[str, Any]:
        state: dict[str, Any] = {"scaler": self._scaler.state_dict()} if self._scaler is not None else {}
        if not self._pending:
            return state
        gradients = {str(index): weight.grad for index, weight in self._with_gradient()}
        return {**state, "pending": self._pending, "gradients": gradients}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self._scaler is not None and "scaler" in state:
            self._scaler.load_state_dict(state["scaler"])
        self._pending = state.get("pending", 0)
        gradients = state.get("gradients", {})
        for index, weight in enumerate(self.trainable_parameters()):
            gradient = gradients.get(str(index))
            weight.grad = None if gradient is None else shard_like(gradient, weight)

    def _prepare_gradients(self) -> None:
        """Mean over the accumulated batches, in their true scale, clipped."""
        if self._scaler is not None and self.clip is not None:
            self._scaler.unscale_(self.learner.optimizer)
        weights = [weight for _, weight in self._with_gradient()]
        if self._pending > 1:
            torch._foreach_div_([weight.grad for weight in weights if weight.grad is not None], self._pending)
        if self.clip is not None:
            self.gradient_norm = full_tensor(nn.utils.clip_grad_norm_(weights, self.clip))

    def _with_gradient(self) -> Iterator[tuple[int, nn.Parameter]]:
        indexed = enumerate(self.trainable_parameters())
        return ((index, weight) for index, weight in indexed if weight.grad is not None)

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(self.learner.device.type, dtype=getattr(torch, self.precision))


class Supervised(LossStepper):
    """The plain step, ``loss(model(*inputs), target)`` for a batch ``(*inputs, target)``.

    With gradient clipping, accumulation, mixed precision and compilation where asked for.

    Args:
        clip: the largest norm of all gradients together; a larger one is scaled down to it. None does not clip.
        accumulate: batches whose gradients are averaged into one step; what is left of them when an epoch ends is a
            step of its own, averaged over as many as there are.
        precision: the type of autocast's fast operations. ``float16`` also scales the loss, so that small gradients
            survive, and leaves out steps in which they overflow.
        compile: run the model through ``torch.compile``; a model that it refuses runs as it is, with a warning.
    """

    def train_loss(self, batch: Any) -> Tensor:
        *inputs, target = plain_batch(batch)
        return self.loss(self.model(*inputs), target)

    def evaluate(self, batch: Any) -> Evaluation:
        *inputs, target = plain_batch(batch)
        return self.evaluation(self.model(*inputs), target)


class ActivationRegularised(Supervised):
    """Supervised, with a price on large and on fast-changing hidden activations of one part of the model.

    Merity, McCann & Socher 2017, arXiv:1708.01009: ``alpha`` times the mean square of the activations (AR), ``beta``
    times the mean square of their differences from one time step to the next (TAR). The price is part of the training
    loss alone. Differs from the paper: mean squares, as in its authors' code, for the norms in its text; one part's
    output serves both, where the paper takes AR after dropout and TAR before it.

    Args:
        part: name of the submodule whose output is priced, for example ``rnn``; of a tuple, the first tensor.
        alpha: weight of AR.
        beta: weight of TAR; needs an output (T, ...) with time first.
        clip: the largest norm of all gradients together; None does not clip.
        accumulate: batches whose gradients are averaged into one step.
        precision: the type of autocast's fast operations.
        compile: run the model through ``torch.compile``.
    """

    def __init__(
        self,
        *,
        part: str = "",
        alpha: float = 2.0,
        beta: float = 1.0,
        clip: float | None = None,
        accumulate: int = 1,
        precision: Precision = "float32",
        compile: bool = False,  # noqa: A002 (torch's own word)
    ) -> None:
        super().__init__(clip=clip, accumulate=accumulate, precision=precision, compile=compile)
        self.part, self.alpha, self.beta = part, alpha, beta

    def attach(self, learner: Learner) -> None:
        super().attach(learner)
        self._module = _submodule(learner.model, self.part)

    def train_loss(self, batch: Any) -> Tensor:
        with _output_of(self._module) as outputs:
            loss = super().train_loss(batch)
        return loss + sum(self._price(activations) for activations in outputs)

    def _price(self, activations: Tensor) -> Tensor:
        price = self.alpha * activations.square().mean()
        if self.beta and len(activations) > 1:
            price = price + self.beta * activations.diff(dim=0).square().mean()
        return price


def _submodule(model: nn.Module, name: str) -> nn.Module:
    named: dict[str, nn.Module] = dict(model.named_modules())
    if not name or name not in named:
        offered = ", ".join(child for child in named if child and "." not in child)
        raise ParameterError(
            f"the model has no part '{name}'" if name else "which part of the model is to be regularised?",
            where="stepper 'activation_regularised', parameter 'part'",
            hint=f"parts: {offered or 'none'}",
        )
    return named[name]


@contextmanager
def _output_of(module: nn.Module) -> Iterator[list[Tensor]]:
    """What ``module`` gives while the block runs; the hook is gone after it, whatever happens."""
    outputs: list[Tensor] = []
    handle = module.register_forward_hook(lambda _, __, output: outputs.append(_first_tensor(output)))
    try:
        yield outputs
    finally:
        handle.remove()


def _first_tensor(output: Any) -> Tensor:
    while not isinstance(output, Tensor):
        output = next(iter(output))
    return output


def _compiled(learner: Learner) -> Callable[..., Any]:
    """The model behind ``torch.compile``, which compiles at the first batch; failing, the model itself, loudly."""
    compiled = torch.compile(learner.model)
    fallen_back = False

    def call(*inputs: Any) -> Any:
        nonlocal fallen_back
        if fallen_back:
            return learner.model(*inputs)
        try:
            return compiled(*inputs)
        except torch._dynamo.exc.TorchDynamoException as error:
            fallen_back = True
            learner.say(f"torch.compile refused the model, which now runs uncompiled: {describe(error)}")
            return learner.model(*inputs)

    return call
