"""The learner: model + data + loss + optimizer + stepper + callbacks."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lab.errors import LabError, ParameterError, UnknownNameError
from lab.training import checkpoint
from lab.training.callback import Callback, Events, Level, order_callbacks
from lab.training.data import (
    Data,
    EpochSampler,
    SamplerFactory,
    SequentialSampler,
    ShuffleSampler,
    call_with,
    to_device,
)
from lab.training.loop import Losses, Position, fit, validate
from lab.training.progress import EpochProgress
from lab.training.replicas import find_replicas, own_device
from lab.training.rng import Streams, all_generators, seed_all_generators
from lab.training.stepper import Stepper, Supervised

if TYPE_CHECKING:
    from lab.training.finder import LearningRates
    from lab.training.summary import Summary

__all__ = ["Learner"]

LearningRate = float | slice | Sequence[float]


class Learner:
    """Trains one model on one data.

    ::

        learner = Learner(model, data, nn.functional.cross_entropy, lr=3e-3, batch_size=64)
        learner.fit_one_cycle(5)
        learner.predict(inputs)

    Args:
        model: any module; its ``layer_groups()``, where it has one, gives lists of parameters, the first layers first.
        data: splits, collate and facts.
        loss: called as ``loss(output, target)``.
        optimizer: called as ``optimizer(param_groups, lr=lr)``, with one group per layer group; each says its
            index as ``layer_group`` and may be split.
        lr: learning rate; ``slice(low, high)`` spreads geometrically over the layer groups, a list gives one each.
        batch_size: examples per batch; ``valid_batch_size`` may differ.
        sampler: called with the sampler facts that its signature names, such as ``size, batch_size, generator``.
        valid_sampler: likewise, for validation; None takes the longest examples first, or the order of the split where
            examples have no length.
        stepper: what one step is.
        callbacks: in any order; they are sorted by what they ask to come before and after.
        metrics: name → metric with ``update, compute, reset``, judged on the validation split after each epoch.
        seed: seed of every random stream of this learner.
        device: where the model is trained, for example ``"cuda"``.
        folder: where checkpoints and artefacts go; None keeps nothing on disk.
        methods: name → function, offered as methods of this learner (``learner.translate(...)``).
        progress: a bar in a terminal or notebook and one line per epoch elsewhere; False shows nothing.
        workers: processes that collate batches; 0 collates in this one.

    Attributes:
        position: where the current fit stands.
        history: one row per finished epoch, over all fits.
        undefined: scores of the last validation that are NaN because they are not defined, each with the reason.
        batch, step_loss: the current batch on the device, and the loss of the last step.
        parts: names of the model's parts that draw their initial weights from streams of their own.
        replicas: the processes that train the model together, where ``torchrun`` started several.
        is_finished: in ``after_fit``, whether the fit came to its own end and was not cut short by a failure.
    """

    def __init__(
        self,
        model: nn.Module,
        data: Data,
        loss: Callable[[Any, Any], Tensor],
        *,
        optimizer: Callable[..., torch.optim.Optimizer] = torch.optim.Adam,
        lr: LearningRate = 1e-3,
        batch_size: int = 64,
        valid_batch_size: int | None = None,
        sampler: SamplerFactory = ShuffleSampler,
        valid_sampler: SamplerFactory | None = None,
        stepper: Stepper | None = None,
        callbacks: Iterable[Callback] = (),
        metrics: Mapping[str, Any] | None = None,
        seed: int = 0,
        device: str | torch.device = "cpu",
        folder: Path | str | None = None,
        methods: Mapping[str, Callable[..., Any]] | None = None,
        progress: bool = True,
        workers: int = 0,
    ) -> None:
        self.device = own_device(device)
        self.model = model
        self.replicas = find_replicas(model, self.device)
        self.data = data
        self.loss = loss.to(self.device) if isinstance(loss, nn.Module) else loss
        self.batch_size, self.valid_batch_size = batch_size, valid_batch_size or batch_size
        self.streams = Streams(seed)
        self.folder = Path(folder) if folder is not None else None
        self.workers = workers
        self.metrics = dict(metrics or {})
        self.replicas.take_over(self.metrics)
        self.metrics_with_batch = {name for name, metric in self.metrics.items() if _takes_batch(metric)}
        self._methods = dict(methods or {})
        self._sampler_factory, self._valid_sampler_factory = sampler, valid_sampler
        self._optimizer_factory = optimizer
        self.lr = lr
        self.stepper = stepper or Supervised()
        if _uninitialized(model):
            self.stepper.attach(self)
            self._initialize()
        self.optimizer = self._make_optimizer(lr)
        self.stepper.attach(self)
        self.callbacks = order_callbacks([*([EpochProgress()] if progress else []), *callbacks])
        self._events = Events(self.callbacks)
        self.history: list[dict[str, float]] = []
        self.undefined: dict[str, str] = {}
        self.epochs_before_fit = 0
        self.position = Position()
        self.losses = Losses(self.device)
        self.parts: tuple[str, ...] = ()
        self.is_finished = False
        self.batch: Any = None
        self.step_loss: Tensor | None = None
        self._dropout_state: dict[str, Any] | None = None
        self._is_training = self._bn_freeze = False
        self._callback_states: dict[str, Any] | None = None
        self._unsaved = checkpoint.UnsavedBuffers(model)

    # --- training -----------------------------------------------------------------------------------------------------

    def fit(
        self, epochs: int, *, lr: LearningRate | None = None, callbacks: Iterable[Callback] = ()
    ) -> list[dict[str, float]]:
        """Train for so many epochs, or finish an interrupted fit that was loaded; gives the history.

        Args:
            epochs: number of epochs.
            lr: a new learning rate from here on.
            callbacks: for this fit alone, besides the learner's own.
        """
        if lr is not None:
            self.set_lr(lr)
        self.position.epochs, self.position.batches = epochs, len(self.train_sampler)
        own, self.callbacks = self.callbacks, order_callbacks([*self.callbacks, *callbacks])
        self._events = Events(self.callbacks)
        try:
            with self._dropout_stream():
                fit(self)
        finally:
            self.callbacks, self._events = own, Events(own)
        self._end_of_fit()
        return self.history

    def fit_one_cycle(self, epochs: int, max_lr: float | None = None, **options: Any) -> list[dict[str, float]]:
        """Train with Smith's one-cycle policy; options are those of ``OneCycle``."""
        from lab.training.schedules import OneCycle

        return self.fit(epochs, lr=max_lr, callbacks=[OneCycle(**options)])

    def resume(self, epochs: int) -> list[dict[str, float]]:
        """Go on from the newest checkpoint in ``folder``, or begin where there is none."""
        if self.folder is not None:
            checkpoint.load_checkpoint(self, self.folder, warn=self.say)
        return self.fit(epochs)

    def find_lr(self, **options: Any) -> LearningRates:
        """Sweep the learning rate and suggest one, leaving everything as it is; options are those of ``find_lr``.

        ``learner.find_lr().plot()`` draws the sweep; a notebook shows it by itself.
        """
        from lab.training.finder import find_lr

        with self._dropout_stream():
            return find_lr(self, **options)

    def validate(self, split: str = "valid") -> dict[str, float]:
        """Loss and metrics on a split, for example ``{"valid_loss": 1.2, "valid_accuracy": 0.7}``."""
        with all_generators(self.streams.seed("validate", split)):
            return validate(self, split)

    @property
    def epochs_done(self) -> int:
        """Epochs finished since this learner was made, over all its fits."""
        return self.epochs_before_fit + self.position.epoch

    def _end_of_fit(self) -> None:
        self.epochs_before_fit = self.epochs_done
        self.position = Position()
        self.batch = None

    # --- prediction ---------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def predict(self, *inputs: Any) -> Any:
        """The model's output for one batch of inputs, in evaluation mode; data may take other things too."""
        with self.evaluating():
            return self.data.predict(lambda *batch: self.model(*to_device(batch, self.device)), *inputs)

    def summary(self, batch: Any = None) -> Summary:
        """Per layer the shapes, the parameters and the FLOPs of one batch; None takes the first training batch."""
        from lab.training.summary import summarise

        return summarise(self, batch)

    def __getattr__(self, name: str) -> Any:
        methods = self.__dict__.get("_methods", {})
        if name in methods:
            return partial(methods[name], self)
        offered = f"; plugins add: {', '.join(sorted(methods))}" if methods else ""
        raise AttributeError(f"a learner has no '{name}'{offered}")

    def __dir__(self) -> Iterable[str]:
        return [*super().__dir__(), *self._methods]

    # --- learning rates and layer groups ------------------------------------------------------------------------------

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """Parameters by layer group, the first layers first; one group where the model names none.

        A weight that several groups share belongs to the first of them.
        """
        name_groups = getattr(self.model, "layer_groups", None)
        groups = name_groups() if callable(name_groups) else [self.model]
        seen: set[nn.Parameter] = set()
        return [[w for w in _parameters(group) if not (w in seen or seen.add(w))] for group in groups]  # type: ignore[func-returns-value]

    def set_lr(self, lr: LearningRate) -> None:
        """Give every layer group its learning rate, from which schedules scale."""
        self.lr = lr
        rates = self._spread(lr)
        for index, group in enumerate(self.optimizer.param_groups):
            group["lr"] = group["initial_lr"] = rates[group.get("layer_group", index)]

    def freeze_to(self, group: int) -> None:
        """Train only the layer groups from ``group`` on; negative numbers count from the end."""
        groups = self.layer_groups()
        first = range(len(groups))[group]
        for index, weights in enumerate(groups):
            for weight in weights:
                weight.requires_grad_(index >= first)

    def unfreeze(self) -> None:
        """Train every layer group."""
        self.freeze_to(0)

    def bn_freeze(self, on: bool = True) -> None:
        """Whether batch norm whose weights are frozen keeps its running statistics while the rest is trained.

        Without it frozen batch norm goes on normalising by its batch, and its averages move, as everywhere in torch.
        """
        self._bn_freeze = on

    def _initialize(self) -> None:
        """Give lazy modules their shapes by one batch, so that the optimizer and checkpoints know their weights."""
        split = self.data.split("train")
        sampler = SequentialSampler(min(len(split), self.batch_size), self.batch_size)
        training = self.model.training
        self.model.eval()
        try:
            with torch.no_grad():
                self.stepper.valid_step(to_device(next(iter(self.data.loader(split, sampler))), self.device))
        finally:
            self.model.train(training)
        if left := _uninitialized(self.model):
            raise ParameterError(
                f"the first batch does not reach {', '.join(left[:3])}, whose shape is not known without it",
                where=type(self.model).__name__,
                hint="give these layers their sizes, or use them in every forward pass",
            )

    def _make_optimizer(self, lr: LearningRate) -> torch.optim.Optimizer:
        groups: list[dict[str, Any]] = [
            {"params": weights, "lr": value, "initial_lr": value, "layer_group": index}
            for index, (weights, value) in enumerate(zip(self.layer_groups(), self._spread(lr), strict=True))
        ]
        return self._optimizer_factory(groups, lr=groups[-1]["lr"])

    def _spread(self, lr: LearningRate) -> list[float]:
        count = len(self.layer_groups())
        if isinstance(lr, slice):
            low, high = lr.start, lr.stop
            low = high / 10 if low is None else low
            return [low * (high / low) ** (index / max(count - 1, 1)) for index in range(count - 1)] + [high]
        if isinstance(lr, Sequence):
            if len(lr) != count:
                raise ParameterError(f"lr has {len(lr)} values, the model has {count} layer groups")
            return list(lr)
        return [lr] * count

    # --- saving -------------------------------------------------------------------------------------------------------

    def save(self, path: Path | str) -> None:
        """Write the model's weights as safetensors."""
        checkpoint.save_weights(self.model, Path(path))

    def load(self, path: Path | str) -> None:
        """Load weights that ``save`` wrote.

        Raises:
            StoreError: the file is damaged or belongs to another architecture.
        """
        checkpoint.load_weights(self.model, Path(path))

    def state_dict(self) -> dict[str, Any]:
        """Everything but the weights that decides how training goes on."""
        return {
            "position": [self.position.epoch, self.position.epochs, self.position.batch, self.position.step],
            "epochs_before_fit": self.epochs_before_fit,
            "history": self.history,
            "losses": self.losses.values,
            "optimizer": self.optimizer.state_dict(),
            "streams": self.streams.state_dict(),
            "dropout": self._dropout_position(),
            "stepper": self.stepper.state_dict(),
            "carried": checkpoint.carried_state(self.model),
            "buffers": self._unsaved.changed(self.model),
            "callbacks": {callback.name: callback.state_dict() for callback in self.callbacks},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Stand where ``state_dict`` was taken; the next ``fit`` goes on from there."""
        epoch, epochs, batch, step = state["position"]
        self.position = Position(epoch=epoch, epochs=epochs, batch=batch, step=step)
        self.epochs_before_fit = state["epochs_before_fit"]
        self.history = list(state["history"])
        if len(self.history) > self.epochs_done:
            self.position.epoch, self.position.batch = epoch + 1, 0
        self.losses.clear()
        for loss in state["losses"].to(self.device):
            self.losses.add(loss)
        self.optimizer.load_state_dict(self.replicas.own_state(state["optimizer"], self.optimizer))
        self.streams.load_state_dict(state["streams"])
        self._dropout_state = state["dropout"]
        self.stepper.load_state_dict(state["stepper"])
        checkpoint.carry_on(self.model, state["carried"])
        self._unsaved.restore(self.model, state["buffers"])
        self._callback_states = state["callbacks"]

    @contextmanager
    def unobserved(self) -> Iterator[None]:
        """Inside the block events fire to nobody: for a trial step outside of a fit."""
        events, self._events = self._events, Events(())
        try:
            yield
        finally:
            self._events = events

    def callback(self, name: str) -> Callback:
        """The callback called ``name``.

        Raises:
            UnknownNameError: there is none.
        """
        for callback in self.callbacks:
            if callback.name == name:
                return callback
        raise UnknownNameError(
            f"this learner has no callback '{name}'",
            hint=f"it has: {', '.join(c.name for c in self.callbacks) or 'none'}",
        )

    def restore_callbacks(self) -> None:
        """Give callbacks the state of a loaded checkpoint, once, after they had the chance to set themselves up."""
        states, self._callback_states = self._callback_states, None
        if states is not None:
            for callback in self.callbacks:
                if states.get(callback.name):
                    callback.load_state_dict(states[callback.name])

    def artefact(self, name: str) -> Path:
        """A path for an artefact called ``name`` inside this learner's folder.

        Raises:
            LabError: the learner has no folder, or the name would leave it.
        """
        if self.folder is None:
            raise LabError(
                f"there is no folder for the artefact '{name}'",
                hint="make the learner with folder=..., or use `lab run`",
            )
        root = (self.folder / "artefacts").resolve()
        path = (root / name).resolve()
        if not path.is_relative_to(root) or path == root:
            raise LabError(f"the artefact name '{name}' leaves the run's folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    # --- what the loop, steppers and callbacks use -------------------------------------------------------------------

    def level(self, event: str) -> Level:
        """The context in which the body of an event runs: ``with learner.level("step"): …``."""
        return self._events.level(event, self)

    @cached_property
    def train_sampler(self) -> EpochSampler:
        """Order of the training batches, restarted for every epoch from the stream ``sampler``."""
        split = self.data.split("train")
        facts = self.data.sampler_facts(split, self.batch_size, self.streams.generator("sampler"))
        sampler = call_with(self._sampler_factory, facts)
        if len(sampler) == 0:
            raise ParameterError(
                "the sampler gives no batches",
                where=f"{len(split)} training examples, batch_size={self.batch_size}",
                hint="give it more examples, a smaller batch_size, or another sampler",
            )
        return EpochSampler(sampler, self.streams, rank=self.replicas.rank, ranks=self.replicas.size)

    @cached_property
    def train_loader(self) -> Any:
        """Training batches."""
        return self._loader("train", self.train_sampler)

    @property
    def train_size(self) -> int:
        """Number of training examples."""
        return len(self.data.train)

    def valid_loader(self, split: str, *, part: bool = False) -> Any:
        """Batches of a split for validation, the same at every call; ``part`` gives those of this process alone."""
        examples = self.data.split(split)
        batches = self._valid_batches(examples)
        return self._loader(split, self.replicas.own_part(batches) if part else batches)

    def valid_batches(self, split: str) -> Sequence[Sequence[int]]:
        """The batches of a split for validation, as indices."""
        return list(self._valid_batches(self.data.split(split)))

    def _valid_batches(self, examples: Any) -> Iterable[Sequence[int]]:
        if self._valid_sampler_factory is not None:
            generator = self.streams.restart("valid_sampler")
            facts = self.data.sampler_facts(examples, self.valid_batch_size, generator)
            return call_with(self._valid_sampler_factory, facts)  # type: ignore[no-any-return]
        lengths = self.data.length(examples)
        if lengths is None:
            return SequentialSampler(len(examples), self.valid_batch_size)
        order = torch.as_tensor(lengths).argsort(descending=True, stable=True)
        return [batch.tolist() for batch in torch.split(order, self.valid_batch_size)]

    def _loader(self, split: str, sampler: Iterable[Sequence[int]]) -> Any:
        pin = self.device.type == "cuda"
        purpose = "workers" if split == "train" else f"workers/{split}"
        generator = self.streams.generator(purpose) if split == "train" else self.streams.restart(purpose)
        examples = self.data.split(split)
        return self.data.loader(examples, sampler, workers=self.workers, pin=pin, generator=generator)

    def set_training_mode(self) -> None:
        """The model in training mode; frozen batch norm stays in evaluation mode where ``bn_freeze`` asks for it."""
        self.model.train()
        if self._bn_freeze:
            for norm in _frozen_batch_norms(self.model):
                norm.eval()

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """``evaluation_mode``, in which the model may be called as one likes: every weight is here."""
        with self.evaluation_mode(), self.replicas.whole_weights():
            yield

    @contextmanager
    def evaluation_mode(self) -> Iterator[None]:
        """Evaluation mode, no gradients, and every random stream as before when the block ends."""
        training = self.model.training
        state = checkpoint.global_random_state(self.device)
        self.model.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            checkpoint.set_global_random_state(state, self.device)
            self.model.train(training)

    @contextmanager
    def _dropout_stream(self) -> Iterator[None]:
        """While the learner trains, the global generators of torch, Python and NumPy are its stream ``dropout``.

        Then they are as they were.
        """
        outside = checkpoint.global_random_state(self.device)
        if self._dropout_state is None:
            seed_all_generators(self.streams.seed("dropout"))
        else:
            checkpoint.set_global_random_state(self._dropout_state, self.device)
        self._is_training = True
        try:
            yield
        finally:
            self._is_training = False
            self._dropout_state = checkpoint.global_random_state(self.device)
            checkpoint.set_global_random_state(outside, self.device)

    def _dropout_position(self) -> dict[str, Any] | None:
        """Where the stream ``dropout`` stands; None before the first fit."""
        return checkpoint.global_random_state(self.device) if self._is_training else self._dropout_state

    def say(self, message: str) -> None:
        """Tell the user something without stopping."""
        import logging

        logging.getLogger("lab").warning(message)


def _frozen_batch_norms(model: nn.Module) -> Iterator[nn.Module]:
    """Batch norm with weights of which none is trained."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            weights = list(module.parameters())
            if weights and not any(weight.requires_grad for weight in weights):
                yield module


def _uninitialized(model: nn.Module) -> list[str]:
    """Names of the parameters and buffers of lazy modules that have no shape yet."""
    named = itertools.chain(model.named_parameters(), model.named_buffers())
    return [name for name, tensor in named if nn.parameter.is_lazy(tensor)]


def _takes_batch(metric: Any) -> bool:
    try:
        return "batch" in inspect.signature(metric.update).parameters
    except (TypeError, ValueError):
        return False


def _parameters(group: Any) -> Iterator[nn.Parameter]:
    if isinstance(group, nn.Parameter):
        return iter((group,))
    if isinstance(group, nn.Module):
        return group.parameters()
    return itertools.chain.from_iterable(_parameters(item) for item in group)
