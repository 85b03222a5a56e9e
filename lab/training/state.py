"""State of a training: what callbacks, steppers, the loop and tools see and change."""

from __future__ import annotations

import inspect
import itertools
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import Tensor, nn

from lab.collection import without_collection
from lab.errors import LabError, ParameterError, UnknownNameError, add_note, error_text
from lab.training.data import Data, EpochSampler, SamplerFactory, SequentialSampler, call_with, to_device
from lab.training.distributed.setup import find_processes, local_device
from lab.training.rng import Streams, global_random_state, seed_all_generators, set_global_random_state
from lab.training.weights import UnsavedBuffers, extra_state, load_extra_state

__all__ = ["EVENTS", "CancelBatch", "CancelEpoch", "CancelFit", "Level", "Losses", "Position", "Training"]

EVENTS = ("fit", "epoch", "batch", "backward", "step", "validate", "eval_weights")

LearningRate = float | slice | Sequence[float]


class CancelBatch(Exception):
    """Raised in a callback: leave this batch and continue with the next."""


class CancelEpoch(Exception):
    """Raised in a callback: leave this epoch and continue with the next."""


class CancelFit(Exception):
    """Raised in a callback: stop training and keep what was learned."""


@attrs.define
class Position:
    """Position of training; every count is of things finished.

    Attributes:
        epoch: epochs finished in this fit, so the index of the current one.
        epochs: epochs of this fit.
        batch: batches finished in this epoch, so before a step the index of the current one.
        batches: batches of an epoch.
        step: batches finished in this fit.
    """

    epoch: int = 0
    epochs: int = 0
    batch: int = 0
    batches: int = 0
    step: int = 0

    @property
    def steps(self) -> int:
        """Number of batches in the whole fit."""
        return self.epochs * self.batches

    def end_epoch(self) -> None:
        """Count one more finished epoch; the next begins at its first batch."""
        self.epoch += 1
        self.batch = 0


class Losses:
    """Losses of the current epoch, kept on their device until a number is needed."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._gathered = torch.zeros(0, device=device)
        self._recent: list[Tensor] = []

    @property
    def count(self) -> int:
        """Number of losses."""
        return len(self._gathered) + len(self._recent)

    @property
    def values(self) -> Tensor:
        """All losses, (count,), in float32."""
        if self._recent:
            scalars = [loss.reshape(()) if loss.dim() else loss for loss in self._recent]
            recent = torch.stack(scalars).to(self.device, torch.float32)
            self._gathered = torch.cat([self._gathered, recent])
            self._recent.clear()
        return self._gathered

    def add(self, loss: Tensor) -> None:
        """Add one loss."""
        self._recent.append(loss)

    def mean(self) -> float:
        """Mean over the batches so far; NaN if there was none."""
        return float(self.values.mean())

    def clear(self) -> None:
        """Drop all losses before the next epoch."""
        self._gathered = self._gathered[:0]
        self._recent.clear()

    def first_bad(self) -> int | None:
        """Index of the first loss that is not finite, or None."""
        bad = ~torch.isfinite(self.values)
        return int(bad.nonzero()[0]) if bool(bad.any()) else None


Listener = tuple[Any, Callable[[Any], None] | None, Callable[[Any], None] | None]
"""A callback, its ``before`` and its ``after`` method for one event; None for a method that it does not override."""


class Level:
    """Context of an event: ``before_X`` on entry, ``after_X`` in reverse order on exit, also when the body raised.

    The first failure wins; a failure in a callback carries a note that says which callback, event, epoch and batch.
    """

    # no state of an entry: one object serves all batches of a fit, and levels of one event may nest
    def __init__(self, event: str, listeners: Sequence[Listener], training: Training) -> None:
        self._event, self._training = event, training
        self._before = [(n, callback, before) for n, (callback, before, _) in enumerate(listeners) if before]
        self._after = [(n, callback, after) for n, (callback, _, after) in enumerate(listeners) if after][::-1]

    def __enter__(self) -> None:
        for number, callback, before in self._before:
            try:
                before(self._training)
            except BaseException as error:
                self._locate(error, callback, "before")
                self._leave([entry for entry in self._after if entry[0] <= number], error)
                raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if self._after:
            first = self._leave(self._after, error)
            if first is not None and error is None:
                raise first

    def _leave(self, entries: Sequence[Any], first: BaseException | None) -> BaseException | None:
        """Call ``after_X`` of the callbacks that were entered; returns the first failure."""
        for _, callback, after in entries:
            try:
                after(self._training)
            except BaseException as failure:
                self._locate(failure, callback, "after")
                if first is None:
                    first = failure
                else:
                    add_note(first, f"and then {type(failure).__name__}: {error_text(failure)}")
        return first

    def _locate(self, error: BaseException, callback: Any, moment: str) -> None:
        if not isinstance(error, (CancelBatch, CancelEpoch, CancelFit)):
            position = self._training.position
            where = f"epoch {position.epoch + 1}, batch {position.batch}"
            add_note(error, f"in callback '{callback.name}', {moment}_{self._event}, {where}")


class Training:
    """Model, data, optimizer and position of a training: what callbacks, steppers, the loop and tools see.

    ``Learner`` adds what a user does with it (fit, predict, save …), and documents the arguments.

    Attributes:
        callbacks: in the order in which they run.
        stepper: one training or validation step.
        position: position of the current fit.
        history: one row per finished epoch, over all fits.
        undefined: scores of the last validation that are NaN because they are not defined, each with the reason.
        batch, step_loss: the current batch on the device, and the loss of the last step.
        parts: names of the model's parts that draw their initial weights from streams of their own.
        distributed: the ranks that train the model together: ``SingleProcess``, ``DDP`` or ``FSDP``.
        is_finished: in ``after_fit``, whether the fit came to its own end and was not cut short by a failure.
    """

    def __init__(
        self,
        model: nn.Module,
        data: Data,
        loss: Callable[[Any, Any], Tensor],
        *,
        stepper: Any,  # a Stepper, whose module imports this one
        optimizer: Callable[..., torch.optim.Optimizer],
        lr: LearningRate,
        batch_size: int,
        valid_batch_size: int | None,
        sampler: SamplerFactory,
        valid_sampler: SamplerFactory | None,
        metrics: Mapping[str, Any],
        seed: int | Streams,
        device: str | torch.device,
        folder: Path | str | None,
        workers: int,
    ) -> None:
        self.device = local_device(device)
        self.model = model
        self.distributed = find_processes(model, self.device)
        self.data = data
        self.loss = loss.to(self.device) if isinstance(loss, nn.Module) else loss
        self.batch_size, self.valid_batch_size = batch_size, valid_batch_size or batch_size
        self._sampler_factory, self._valid_sampler_factory = sampler, valid_sampler
        self.streams = seed if isinstance(seed, Streams) else Streams(seed)
        self.folder = Path(folder) if folder is not None else None
        # set by lab.load: the folder of a finished run is read, and never written
        self.finished_folder: Path | None = None
        self.workers = workers
        self.metrics = dict(metrics)
        self.distributed.disable_metric_sync(self.metrics)
        self.metrics_with_batch = {name for name, metric in self.metrics.items() if _takes_batch(metric)}
        self.callbacks: list[Any] = []
        self._levels = {event: Level(event, (), self) for event in EVENTS}
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
        self.stepper = stepper
        self.lr = lr
        if _uninitialized(model):
            # the stepper runs the batch, and the optimizer must see the parameters that it creates
            stepper.attach(self)
            self._initialize_lazy_modules()
        groups = [
            {"params": weights, "lr": rate, "initial_lr": rate, "layer_group": index}
            for index, (weights, rate) in enumerate(zip(self.layer_groups(), self._spread(lr), strict=True))
        ]
        # The first optimizer of a process imports torch's compiler, two thousand modules.
        with without_collection():
            self.optimizer = optimizer(groups, lr=groups[-1]["lr"])
        made: Any = self.optimizer
        if not isinstance(made, torch.optim.Optimizer):
            what = f"the optimizer must be a torch.optim.Optimizer, not {type(made).__name__}"
            raise ParameterError(what).blaming("optimizer")
        stepper.attach(self)
        self._unsaved = UnsavedBuffers(model)

    def _initialize_lazy_modules(self) -> None:
        """Run one batch through lazy modules, so that the optimizer and checkpoints know their weights."""
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

    # --- events -------------------------------------------------------------------------------------------------------

    def level(self, event: str) -> Level:
        """Return the context in which the body of an event runs: ``with learner.level("step"): …``."""
        return self._levels[event]

    @contextmanager
    def unobserved(self) -> Iterator[None]:
        """Fire events to no callback inside the block: for a trial step outside of a fit."""
        levels, self._levels = self._levels, {event: Level(event, (), self) for event in EVENTS}
        try:
            yield
        finally:
            self._levels = levels

    def callback(self, name: str) -> Any:
        """Return the callback called ``name``.

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

    # --- learning rates and layer groups ------------------------------------------------------------------------------

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """Return the parameters by layer group, the first layers first; one group where the model names none.

        A weight that several groups share belongs to the first of them.
        """
        name_groups = getattr(self.model, "layer_groups", None)
        groups = name_groups() if callable(name_groups) else [self.model]
        seen: set[nn.Parameter] = set()
        return [[w for w in _parameters(group) if not (w in seen or seen.add(w))] for group in groups]  # type: ignore[func-returns-value]

    def set_lr(self, lr: LearningRate) -> None:
        """Set the learning rate of every layer group, from which schedules scale."""
        self.lr = lr
        rates = self._spread(lr)
        # an optimizer may have split a group, for example by weight decay
        for index, group in enumerate(self.optimizer.param_groups):
            group["lr"] = group["initial_lr"] = rates[group.get("layer_group", index)]

    def learning_rates(self) -> list[float]:
        """Return the learning rate of every layer group, from which schedules scale."""
        return self._spread(self.lr)

    def _spread(self, lr: LearningRate) -> list[float]:
        count = len(self.layer_groups())
        if isinstance(lr, slice):
            low, high = lr.start, lr.stop
            # slice(high): fastai's shorthand for a tenth up to the last group
            low = high / 10 if low is None else low
            return [low * (high / low) ** (index / max(count - 1, 1)) for index in range(count - 1)] + [high]
        if isinstance(lr, Sequence):
            if len(lr) != count:
                raise ParameterError(f"lr has {len(lr)} values, the model has {count} layer groups")
            return list(lr)
        return [lr] * count

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
        """Keep the running statistics of batch norm whose weights are frozen while the rest is trained.

        Without it frozen batch norm normalizes by its batch and updates its running statistics, as everywhere in torch.
        """
        self._bn_freeze = on

    # --- batches ------------------------------------------------------------------------------------------------------

    @property
    def epochs_done(self) -> int:
        """Epochs finished since this learner was made, over all its fits."""
        return self.epochs_before_fit + self.position.epoch

    @property
    def train_size(self) -> int:
        """Number of training examples."""
        return len(self.data.train)

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
        return EpochSampler(sampler, self.streams, rank=self.distributed.rank, ranks=self.distributed.world_size)

    @cached_property
    def train_loader(self) -> Any:
        """Training batches."""
        return self._loader("train", self.train_sampler, self.streams.generator("workers"))

    def valid_loader(self, split: str, *, local: bool = False) -> Any:
        """Return the batches of a split for validation, the same at every call; ``local`` ones are this rank's."""
        batches = self.valid_batches(split)
        generator = self.streams.restart(f"workers/{split}")
        return self._loader(split, self.distributed.local_batches(batches) if local else batches, generator)

    def valid_batches(self, split: str) -> Sequence[Sequence[int]]:
        """Return the batches of a split for validation, as indices."""
        examples = self.data.split(split)
        if self._valid_sampler_factory is not None:
            generator = self.streams.restart("valid_sampler")
            facts = self.data.sampler_facts(examples, self.valid_batch_size, generator)
            return list(call_with(self._valid_sampler_factory, facts))
        lengths = self.data.length(examples)
        if lengths is None:
            return list(SequentialSampler(len(examples), self.valid_batch_size))
        # the longest first: a batch that does not fit in memory fails at once
        order = torch.as_tensor(lengths).argsort(descending=True, stable=True)
        return [batch.tolist() for batch in torch.split(order, self.valid_batch_size)]

    def _loader(self, split: str, sampler: Iterable[Sequence[int]], generator: torch.Generator) -> Any:
        # pinned memory can be copied to a GPU while it computes
        pin = self.device.type == "cuda"
        return self.data.loader(self.data.split(split), sampler, workers=self.workers, pin=pin, generator=generator)

    # --- modes and random streams -------------------------------------------------------------------------------------

    def set_training_mode(self) -> None:
        """Set the model to training mode; frozen batch norm stays in evaluation mode if ``bn_freeze`` is on."""
        self.model.train()
        if self._bn_freeze:
            for module in self.model.modules():
                weights = list(module.parameters()) if isinstance(module, nn.modules.batchnorm._BatchNorm) else []
                if weights and not any(weight.requires_grad for weight in weights):
                    module.eval()

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Enter ``evaluation_mode`` with every weight gathered, so that the model may be called in any way."""
        with self.evaluation_mode(), self.distributed.gathered_weights():
            yield

    @contextmanager
    def evaluation_mode(self) -> Iterator[None]:
        """Evaluate inside the block: no gradients, and every random stream as before when it ends."""
        training = self.model.training
        state = global_random_state(self.device)
        self.model.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            set_global_random_state(state, self.device)
            self.model.train(training)

    @contextmanager
    def _dropout_stream(self) -> Iterator[None]:
        """Make the global generators of torch, Python and NumPy the stream ``dropout`` inside the block."""
        outside = global_random_state(self.device)
        if self._dropout_state is None:
            seed_all_generators(self.streams.seed("dropout"))
        else:
            set_global_random_state(self._dropout_state, self.device)
        self._is_training = True
        try:
            yield
        finally:
            # kept for the next fit, and for a checkpoint between two
            self._is_training = False
            self._dropout_state = global_random_state(self.device)
            set_global_random_state(outside, self.device)

    # --- saving -------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return everything but the weights that the rest of training depends on."""
        return {
            "position": [self.position.epoch, self.position.epochs, self.position.batch, self.position.step],
            "epochs_before_fit": self.epochs_before_fit,
            "history": self.history,
            "losses": self.losses.values,
            "optimizer": self.optimizer.state_dict(),
            "streams": self.streams.state_dict(),
            "dropout": global_random_state(self.device) if self._is_training else self._dropout_state,
            "stepper": self.stepper.state_dict(),
            # "carried" is what earlier versions called it
            "carried": extra_state(self.model),
            "buffers": self._unsaved.changed(self.model),
            "callbacks": {callback.name: callback.state_dict() for callback in self.callbacks},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned; the next ``fit`` continues from there."""
        epoch, epochs, batch, step = state["position"]
        self.position = Position(epoch=epoch, epochs=epochs, batch=batch, step=step)
        self.epochs_before_fit = state["epochs_before_fit"]
        self.history = list(state["history"])
        if len(self.history) > self.epochs_done:  # saved in after_epoch, before the epoch was counted
            self.position.end_epoch()
        # one by one, as training adds them
        self.losses.clear()
        for loss in state["losses"].to(self.device):
            self.losses.add(loss)
        self.optimizer.load_state_dict(self.distributed.local_state(state["optimizer"], self.optimizer))
        self.streams.load_state_dict(state["streams"])
        self._dropout_state = state["dropout"]
        self.stepper.load_state_dict(state["stepper"])
        load_extra_state(self.model, state["carried"])
        self._unsaved.restore(self.model, state["buffers"])
        self._callback_states = state["callbacks"]

    def restore_callbacks(self) -> None:
        """Give callbacks the state of a loaded checkpoint, once, after they had the chance to set themselves up."""
        # once: a second fit must not begin with the state of a checkpoint
        states, self._callback_states = self._callback_states, None
        for callback in self.callbacks:
            if states and states.get(callback.name):
                callback.load_state_dict(states[callback.name])

    def artefact(self, name: str) -> Path:
        """Return the path of an artefact inside this learner's folder.

        Raises:
            LabError: the learner has no folder, or the name would leave it.
        """
        if self.folder is None:
            raise LabError(
                f"there is no folder for the artefact '{name}'",
                hint="make the learner with folder=..., or use `lab run`",
            )
        # resolved, so that no name with ".." or a link leads out
        root = (self.folder / "artefacts").resolve()
        path = (root / name).resolve()
        if not path.is_relative_to(root) or path == root:
            raise LabError(f"the artefact name '{name}' leaves the run's folder")
        if self.folder == self.finished_folder and not path.exists():
            raise LabError(
                f"its run has no artefact '{name}'",
                where=str(root),
                hint="a finished run is not written: set learner.folder to keep artefacts of your own",
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def say(self, message: str) -> None:
        """Log a message for the user."""
        logging.getLogger("lab").warning(message)


def _uninitialized(model: nn.Module) -> list[str]:
    """Return the names of parameters and buffers of lazy modules that have no shape yet."""
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
