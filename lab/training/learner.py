"""Learner: model + data + loss + optimizer + stepper + callbacks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MethodType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lab.training.callback import Callback, listeners_of, order_callbacks
from lab.training.checkpoint import load_checkpoint
from lab.training.data import Data, SamplerFactory, ShuffleSampler, to_device
from lab.training.loop import fit, validate
from lab.training.progress import EpochProgress
from lab.training.rng import Streams, all_generators
from lab.training.state import EVENTS, LearningRate, Level, Position, Training
from lab.training.stepper import Stepper, Supervised
from lab.training.weights import load_weights, save_weights

if TYPE_CHECKING:
    from lab.training.tools.lr_finder import LearningRates
    from lab.training.tools.summary import Summary

__all__ = ["Learner"]


class Learner(Training):
    """Trains one model on one data.

    ::

        learner = Learner(model, data, nn.functional.cross_entropy, lr=3e-3, batch_size=64)
        learner.fit_one_cycle(5)
        learner.predict(inputs)

    ``Training``, its base, documents the attributes that callbacks and steppers use.

    Args:
        model: any module; its ``layer_groups()``, if any, returns lists of parameters, the first layers first.
        data: splits, collate and facts.
        loss: called as ``loss(output, target)``.
        optimizer: called as ``optimizer(param_groups, lr=lr)``, with one group per layer group; each says its
            index as ``layer_group`` and may be split.
        lr: learning rate; ``slice(low, high)`` spreads geometrically over the layer groups, a list has one each.
        batch_size: examples per batch; ``valid_batch_size`` may differ.
        sampler: called with the sampler facts that its signature names, such as ``size, batch_size, generator``.
        valid_sampler: likewise, for validation; None takes the longest examples first, or the order of the split where
            examples have no length.
        stepper: one training or validation step.
        callbacks: in any order; they are sorted by what they ask to come before and after.
        metrics: name → metric with ``update, compute, reset``, computed on the validation split after each epoch.
        seed: seed of every random stream of this learner, or the streams themselves.
        device: where the model is trained, for example ``"cuda"``.
        folder: where checkpoints and artefacts go; None keeps nothing on disk.
        methods: name → function, offered as methods of this learner (``learner.translate(...)``).
        progress: a bar in a terminal or notebook and one line per epoch elsewhere; False shows nothing.
        workers: processes that collate batches; 0 collates in this one.
    """

    stepper: Stepper
    callbacks: list[Callback]

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
        seed: int | Streams = 0,
        device: str | torch.device = "cpu",
        folder: Path | str | None = None,
        methods: Mapping[str, Callable[..., Any]] | None = None,
        progress: bool = True,
        workers: int = 0,
    ) -> None:
        # first: __getattr__ looks here for every name that is missing
        self._methods = {} if methods is None else methods
        super().__init__(
            model,
            data,
            loss,
            stepper=stepper or Supervised(),
            optimizer=optimizer,
            lr=lr,
            batch_size=batch_size,
            valid_batch_size=valid_batch_size,
            sampler=sampler,
            valid_sampler=valid_sampler,
            metrics=metrics or {},
            seed=seed,
            device=device,
            folder=folder,
            workers=workers,
        )
        self._set_callbacks([*([EpochProgress()] if progress else []), *callbacks])

    def _set_callbacks(self, callbacks: Iterable[Callback]) -> None:
        self.callbacks = order_callbacks(callbacks)
        self._levels = {event: Level(event, listeners_of(self.callbacks, event), self) for event in EVENTS}

    def expect(self, epochs: int) -> None:
        """Set the length of the coming training, of which schedules compute their values; ``fit`` does it itself."""
        self.position.epochs, self.position.batches = epochs, len(self.train_sampler)

    # --- training -----------------------------------------------------------------------------------------------------

    def fit(
        self, epochs: int, *, lr: LearningRate | None = None, callbacks: Iterable[Callback] = ()
    ) -> list[dict[str, float]]:
        """Train for ``epochs`` epochs, or finish an interrupted fit that was loaded; returns the history.

        A learner of ``lab.load`` leaves the folder of its run first, so that the run stays as it is: further training
        keeps nothing on disk, unless ``learner.folder`` is set to a folder of your own.

        Args:
            epochs: number of epochs.
            lr: a new learning rate from here on.
            callbacks: for this fit alone, besides the learner's own.
        """
        if self.folder == self.finished_folder:
            self.folder = None
        if lr is not None:
            self.set_lr(lr)
        self.expect(epochs)
        # sorted anew, since callbacks of one fit may have to come before the learner's own
        own = self.callbacks
        self._set_callbacks([*own, *callbacks])
        try:
            with self._dropout_stream():
                fit(self)
        finally:
            self._set_callbacks(own)
        self.epochs_before_fit = self.epochs_done
        self.position = Position()
        self.batch = None
        return self.history

    def fit_one_cycle(self, epochs: int, max_lr: float | None = None, **options: Any) -> list[dict[str, float]]:
        """Train with Smith's one-cycle policy; options are those of ``OneCycle``."""
        from lab.training.schedules import OneCycle

        return self.fit(epochs, lr=max_lr, callbacks=[OneCycle(**options)])

    def resume(self, epochs: int) -> list[dict[str, float]]:
        """Continue from the newest checkpoint in ``folder``, or begin if there is none."""
        if self.folder is not None:
            load_checkpoint(self, self.folder, warn=self.say)
        return self.fit(epochs)

    def find_lr(self, **options: Any) -> LearningRates:
        """Sweep the learning rate and suggest one, leaving everything as it is; options are those of ``find_lr``.

        ``learner.find_lr().plot()`` draws the sweep; a notebook shows it by itself.
        """
        from lab.training.tools.lr_finder import find_lr

        with self._dropout_stream():
            return find_lr(self, **options)

    def validate(self, split: str = "valid") -> dict[str, float]:
        """Return loss and metrics on a split, for example ``{"valid_loss": 1.2, "valid_accuracy": 0.7}``."""
        # a seed of its own: a model that draws while it evaluates gives the same numbers at every call
        with all_generators(self.streams.seed("validate", split)):
            return validate(self, split)

    # --- prediction ---------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def predict(self, *inputs: Any) -> Any:
        """Return the model's output for one batch of inputs, in evaluation mode; data may take other things too."""
        with self.evaluating():
            return self.data.predict(lambda *batch: self.model(*to_device(batch, self.device)), *inputs)

    def summary(self, batch: Any = None) -> Summary:
        """Return per layer the shapes, parameters and FLOPs of one batch; None takes the first training batch."""
        from lab.training.tools.summary import summarize

        return summarize(self, batch)

    def __getattr__(self, name: str) -> Any:
        methods = self.__dict__.get("_methods", {})
        if name in methods:
            # a bound method, of which help() shows the function's own signature and docstring
            return MethodType(methods[name], self)
        offered = f"; plugins add: {', '.join(sorted(methods))}" if methods else ""
        raise AttributeError(f"a learner has no '{name}'{offered}")

    def __dir__(self) -> Iterable[str]:
        return [*super().__dir__(), *self._methods]

    # --- saving -------------------------------------------------------------------------------------------------------

    def save(self, path: Path | str) -> None:
        """Write the model's weights as safetensors."""
        save_weights(self.model, Path(path))

    def load(self, path: Path | str) -> None:
        """Load weights that ``save`` wrote.

        Raises:
            StoreError: the file is damaged or belongs to another architecture.
        """
        load_weights(self.model, Path(path))
