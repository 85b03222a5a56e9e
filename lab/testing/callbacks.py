"""Checks of callbacks."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lab.errors import did_you_mean
from lab.testing.conformance import Conformance, on_every_example, skip
from lab.testing.crash import EPOCHS, differences, train_with_power_cut
from lab.testing.example import Example
from lab.testing.finding import Finding
from lab.testing.probe import flat_state, no_global_randomness, same
from lab.testing.steppers import small_learner
from lab.training.callback import Callback
from lab.training.checkpoint import Checkpoint
from lab.training.learner import Learner
from lab.training.state import EVENTS
from lab.training.weights import write_tree

__all__ = ["CallbackConformance"]


class CallbackConformance(Conformance):
    """The checks of callbacks: a subclass of ``lab.Callback``."""

    kind = "callbacks"

    def build(self, example: Example) -> Callback:
        """Return the callback for ``example``."""
        callback = self.resolved.build(example.facts)
        if not isinstance(callback, Callback):
            raise Finding(f"{self.label} must be a lab.Callback, not a {type(callback).__name__}")
        return callback

    def try_on(self, example: Example) -> None:
        self._train(example)

    @on_every_example
    def test_listens_only_to_known_events(self, example: Example) -> None:
        """Every method called ``before_…`` or ``after_…`` names an event; a misspelt one would never be called."""
        # Subclasses override methods by name, so Python itself never notices a misspelt one.
        known = [f"{moment}_{event}" for moment in ("before", "after") for event in EVENTS]
        for name in dir(type(self.build(example))):
            if name.startswith(("before_", "after_")) and name not in known:
                hint = did_you_mean(name, known) or f"events: {', '.join(EVENTS)}"
                raise Finding(f"{self.label}: there is no event for its method '{name}'", hint=hint)

    @on_every_example
    def test_order_is_given_by_names(self, example: Example) -> None:
        """``name`` is a text, ``before`` and ``after`` are tuples of names other than its own."""
        callback = self.build(example)
        if not isinstance(callback.name, str) or not callback.name:
            raise Finding(f"{self.label}: its name must be a text, not {callback.name!r}")
        for side in ("before", "after"):
            names = getattr(callback, side)
            if not isinstance(names, tuple) or not all(isinstance(name, str) for name in names):
                raise Finding(
                    f"{self.label}: `{side}` must be a tuple of names, not {names!r}", hint=f'{side} = ("name",)'
                )
            # The order of callbacks would be a cycle of one.
            if callback.name in names:
                raise Finding(f"{self.label}: it wants to come {side} itself")

    @on_every_example
    def test_training_ends_with_it(self, example: Example) -> None:
        """A short training ends, with a row of history for every epoch."""
        history = self._train(example).history
        # A callback that cancels every epoch leaves a run without numbers.
        if not history:
            raise Finding(f"{self.label}: no epoch was finished", hint="CancelEpoch and CancelFit leave an epoch early")

    @on_every_example
    def test_works_without_a_folder(self, example: Example) -> None:
        """A learner by itself has no folder; a callback that writes artefacts then does nothing or says so."""
        from lab.errors import LabError

        try:
            # In a notebook a learner has no folder, and an error there must name the remedy.
            small_learner(example, callbacks=self._callbacks(example)).fit(EPOCHS)
        except LabError as error:
            if "folder" not in str(error):
                raise

    @on_every_example
    def test_leaves_global_random_state_alone(self, example: Example) -> None:
        """The global state is the stream of the model's dropout: a draw from it changes the numbers of the run."""
        callback = self.build(example)
        for moment in ("before", "after"):
            for event in EVENTS:
                _watch(callback, f"{moment}_{event}", self.label)
        self._train(example, callback)

    @on_every_example
    def test_an_observer_changes_no_number(self, example: Example) -> None:
        """``observer = True`` promises that numbers do not change: a run has one key with and without it."""
        if not self.build(example).observer:
            skip("it does not say that it is an observer")
        # Observers are no part of a key, so a run with and one without them share their numbers.
        plain = small_learner(example)
        plain.fit(EPOCHS)
        watched = self._train(example)
        changed = [
            name
            for name, weight in plain.model.state_dict().items()
            if not same(weight, watched.model.state_dict()[name])
        ]
        if changed:
            raise Finding(
                f"{self.label}: training with it gives other weights ({changed[0]}), though it says observer = True",
                hint="leave `observer` out, or draw from a generator of its own and change no tensor in place",
            )

    @on_every_example
    def test_state_can_be_saved(self, example: Example) -> None:
        """``state_dict()`` holds tensors and JSON values, before and after training."""
        callback = self.build(example)
        # Checkpoints hold tensors in safetensors and the rest in JSON; nothing else can be written.
        with TemporaryDirectory() as folder:
            write_tree(callback.state_dict(), Path(folder), "before")
            self._train(example, callback)
            write_tree(callback.state_dict(), Path(folder), "after")

    @on_every_example
    def test_state_survives_a_crash(self, example: Example) -> None:
        """A run that is resumed after a power cut ends like an uninterrupted one, and so does the callback's state."""
        # Its own state is written by the checkpoint that is being checked.
        if isinstance(self.build(example), Checkpoint):
            skip("it is what saves the others")
        straight, resumed = self._with_power_cut(example)
        # A third run tells what differs by chance, such as a duration, from what a resume loses.
        found = differences(straight, resumed) or _lost(self._with_power_cut(example)[0], straight, resumed, self.label)
        if found:
            raise Finding(
                f"{self.label}: a resumed run differs: {found[0]}",
                hint="what it remembers belongs in state_dict() and load_state_dict()",
            )

    def _with_power_cut(self, example: Example) -> tuple[Learner, Learner]:
        def make(place: Path, callbacks: list[Callback]) -> Learner:
            return small_learner(example, callbacks=[*callbacks, self.build(example)], folder=place)

        with TemporaryDirectory() as folder:
            return train_with_power_cut(make, Path(folder))

    def _callbacks(self, example: Example, callback: Callback | None = None) -> list[Callback]:
        return [callback or self.build(example)]

    def _train(self, example: Example, callback: Callback | None = None) -> Learner:
        with TemporaryDirectory() as folder:
            learner = small_learner(example, callbacks=self._callbacks(example, callback), folder=folder)
            learner.fit(EPOCHS)
        return learner


def _watch(callback: Callback, name: str, label: str) -> None:
    """Watch the global random state while one method of a callback runs."""
    method = getattr(type(callback), name, None)
    # Events that the callback does not listen to are left as they are.
    if method is None or method is getattr(Callback, name):
        return
    bound = getattr(callback, name)

    def watched(learner: Learner) -> Any:
        with no_global_randomness(f"{label}, in {name},", hint='draw from learner.streams.generator("…")'):
            return bound(learner)

    setattr(callback, name, watched)


def _lost(again: Learner, straight: Learner, resumed: Learner, label: str) -> list[str]:
    """Return the state that a callback lacks after a resumed run, as far as two straight runs agree on it."""
    known, same_run, after_cut = (flat_state(learner.callbacks[-1]) for learner in (straight, again, resumed))
    # Durations and addresses differ between any two runs.
    steady = [name for name in known if name in same_run and same(known[name], same_run[name])]
    return [
        f"self.{name} is {known[name]!r} after a run that went straight on, {after_cut.get(name)!r} after a resumed one"
        for name in steady
        if not same(known[name], after_cut.get(name))
    ]
