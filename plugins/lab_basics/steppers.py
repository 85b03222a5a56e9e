"""Supervised steppers with gradient clipping, accumulation, mixed precision and compilation."""

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

__all__ = ["ActivationRegularized", "LossStepper", "Supervised"]

Precision = Literal["float32", "bfloat16", "float16"]


class LossStepper(Stepper):
    """Base class of steppers with one loss per batch: clipping, accumulation, mixed precision, compilation.

    A subclass implements ``train_loss`` and ``evaluate``. ``gradient_norm`` has the norm of all gradients before the
    last clipping, on the device.

    Args:
        clip: maximum norm of all gradients together; None does not clip.
        accumulate: number of batches whose gradients are averaged into one step; the remainder at the end of an epoch
            is a step averaged over its own number.
        precision: data type of autocast. ``float16`` also scales the loss, so that small gradients do not underflow,
            and skips steps in which gradients overflow.
        compile: use ``torch.compile``; a model that cannot be compiled runs uncompiled, with a warning.
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
        """Return the scalar loss of a training batch, with its graph."""
        raise NotImplementedError

    def evaluate(self, batch: Any) -> Evaluation:
        """Return the evaluation of a validation batch; autocast is applied around it."""
        raise NotImplementedError

    def loss(self, output: Any, target: Any) -> Tensor:
        """Return the learner's loss; with several ranks, also record its number of elements."""
        if self.learner.distributed.world_size > 1:
            self._weight_of_loss = loss_weight(self.learner.loss, output, target)
        return self.learner.loss(output, target)

    def weight(self, batch: Any) -> Weight:
        """Return the number of elements of the loss of a training batch, by which ranks weight their gradients.

        It is stated by the learner's loss if ``train_loss`` calls ``self.loss``; otherwise it is the number of elements
        of the target, by convention the last item of the batch. Override it for another mean.
        """
        return element_count(batch[-1]) if self._weight_of_loss is None else self._weight_of_loss

    @property
    def model(self) -> Callable[..., Any]:
        """Return the learner's model, or the compiled one."""
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
        # GradScaler skips the step if a gradient overflowed, and lowers the scale here.
        self._scaler.update()
        self.learner.optimizer.zero_grad(set_to_none=True)

    def finish_epoch(self) -> None:
        if self._pending:
            self.optimizer_step()

    def state_dict(self) -> dict[str, Any]:
        state: dict[str, Any] = {"scaler": self._scaler.state_dict()} if self._scaler is not None else {}
        if not self._pending:
            return state
        # Accumulated gradients are part of a checkpoint inside a step.
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
        """Unscale, average and clip the accumulated gradients."""
        # In this order: the norm to clip is that of the averaged gradient in its true scale.
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
    """Supervised step, ``loss(model(*inputs), target)`` for a batch ``(*inputs, target)``.

    Args:
        clip: maximum norm of all gradients together; None does not clip.
        accumulate: number of batches whose gradients are averaged into one step; the remainder at the end of an epoch
            is a step averaged over its own number.
        precision: data type of autocast. ``float16`` also scales the loss, so that small gradients do not underflow,
            and skips steps in which gradients overflow.
        compile: use ``torch.compile``; a model that cannot be compiled runs uncompiled, with a warning.
    """

    def train_loss(self, batch: Any) -> Tensor:
        *inputs, target = plain_batch(batch)
        return self.loss(self.model(*inputs), target)

    def evaluate(self, batch: Any) -> Evaluation:
        *inputs, target = plain_batch(batch)
        return self.evaluation(self.model(*inputs), target)


class ActivationRegularized(Supervised):
    """Supervised step with activation regularization (AR) and temporal activation regularization (TAR).

    Merity, McCann & Socher 2017, arXiv:1708.01009: ``alpha`` times the mean square of the activations (AR) and ``beta``
    times the mean square of their differences between time steps (TAR) are added to the training loss. Differs from the
    paper: mean squares, as in its authors' code, instead of the norms in its text; the output of one module is used for
    both, while the paper takes AR after dropout and TAR before it. Differs from fast.ai 2018, whose step adds the
    penalties (``reg_fn``) to the gradient but reports the loss without them: the training loss here contains them, the
    validation loss does not. For translation, ``teacher_forcing`` has both penalties itself.

    Args:
        part: name of the submodule whose output is regularized, for example ``rnn``; of a tuple, the first tensor.
        alpha: weight of AR.
        beta: weight of TAR; needs an output (T, ...) with time first.
        clip: maximum norm of all gradients together; None does not clip.
        accumulate: number of batches whose gradients are averaged into one step.
        precision: data type of autocast.
        compile: use ``torch.compile``.
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
        return loss + sum(self._penalty(activations) for activations in outputs)

    def _penalty(self, activations: Tensor) -> Tensor:
        penalty = self.alpha * activations.square().mean()
        if self.beta and len(activations) > 1:
            penalty = penalty + self.beta * activations.diff(dim=0).square().mean()
        return penalty


def _submodule(model: nn.Module, name: str) -> nn.Module:
    named: dict[str, nn.Module] = dict(model.named_modules())
    if not name or name not in named:
        offered = ", ".join(child for child in named if child and "." not in child)
        raise ParameterError(
            f"the model has no module '{name}'" if name else "no module to regularize was given",
            where="stepper 'activation_regularized', parameter 'part'",
            hint=f"modules: {offered or 'none'}",
        )
    return named[name]


@contextmanager
def _output_of(module: nn.Module) -> Iterator[list[Tensor]]:
    """Collect the outputs of ``module`` inside the block; the hook is always removed."""
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
    """Return the compiled model, which falls back to the model itself with a message if compilation fails."""
    # torch.compile compiles at the first batch, so that is where it fails.
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
            learner.say(f"torch.compile failed, the model runs uncompiled: {describe(error)}")
            return learner.model(*inputs)

    return call
