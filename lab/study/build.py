"""From a resolved experiment to objects: the data, and a learner on it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache, partial
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import torch

from lab.errors import DataError, ParameterError
from lab.registry.plugins import Catalog
from lab.registry.registry import load_object
from lab.registry.resolved import Component
from lab.streams import stdout_to_stderr
from lab.study.examples import fingerprint_of_examples, hash_of_some, protect
from lab.study.experiment import ResolvedExperiment
from lab.study.guard import assert_global_state_unchanged
from lab.study.modules import leaves_modules
from lab.study.task import NoData
from lab.training.callback import Callback
from lab.training.data import Data
from lab.training.learner import Learner
from lab.training.rng import Streams, all_generators
from lab.training.stepper import Stepper
from lab.training.structure import describe_structure

__all__ = ["DataCache", "build_learner", "data_of", "naming_culprits", "warnings_of"]


_warned: WeakKeyDictionary[Data, list[str]] = WeakKeyDictionary()


def warnings_of(data: Data) -> list[str]:
    """Return what was logged as a warning while data was built: notes of it, or whole messages.

    Nothing for data that was not built by a ``DataCache``, such as that of a task.
    """
    return list(_warned.get(data, ())) if isinstance(data, Data) else []


class DataCache:
    """Data that was built in this process, so that the arms and seeds of a study share it.

    While data is built, every message is logged once.

    Args:
        silent: log nothing, where another process has built the same data and logged it.
    """

    def __init__(self, *, silent: bool = False) -> None:
        self.silent = silent
        self._built: dict[str, Data] = {}
        self._logged: set[str] = set()

    def get(self, dataset: Component) -> Data:
        """Return the data of a resolved dataset, built once per process.

        Raises:
            LabError: the dataset cannot be built, or it does not give a ``Data``.
        """
        # by resolved JSON, not by object: two arms that write the same dataset separately share one copy
        name = repr(dataset.to_json())
        if name not in self._built:
            self._built[name] = protect(self._build(dataset), partial(self._build, dataset))
        return self._built[name]

    def _build(self, dataset: Component) -> Data:
        with _each_message_once(self._logged, silent=self.silent) as warned:
            data = _identified(dataset)
        _warned[data] = list(_notes_and_messages(data, dict.fromkeys(warned)))
        return data


def _notes_and_messages(data: Data, messages: Iterable[str]) -> Iterator[str]:
    """Yield the notes of data in messages; of a message without any, the message."""
    for message in messages:
        notes = [note for note in data.notes if note in message]
        yield from notes or [message]


@contextmanager
def _each_message_once(logged: set[str], *, silent: bool) -> Iterator[list[str]]:
    """Log every message to the logger ``lab`` once, or none of them; gives the warnings, also those not logged.

    Args:
        logged: the messages so far, to which new ones are added.
        silent: log none.
    """
    warned: list[str] = []

    def is_new(record: logging.LogRecord) -> bool:
        try:
            message = record.getMessage()
        except (TypeError, ValueError):
            # wrong arguments of the caller, which logging reports itself
            return True
        if record.levelno >= logging.WARNING:
            warned.append(message)
        if message in logged:
            return False
        logged.add(message)
        return not silent

    log = logging.getLogger("lab")
    log.addFilter(is_new)
    try:
        yield warned
    finally:
        log.removeFilter(is_new)


def data_of(experiment: ResolvedExperiment, cache: DataCache) -> Data:
    """Return the data of an experiment; a task reads its own.

    Raises:
        LabError: the dataset cannot be built, or it is no ``Data``.
    """
    return NoData() if experiment.task is not None else cache.get(experiment.component("dataset"))  # type: ignore[return-value]


def _identified(dataset: Component) -> Data:
    """Build data, and compute a fingerprint of its examples unless it has one.

    Raises:
        LabError: it is not a ``Data``, its content cannot be hashed, or its examples differ between two builds.
    """
    data = _built(dataset)
    if not data.fingerprint:
        started = time.perf_counter()
        content = fingerprint_of_examples(data, dataset.label)
        # a dataset that draws without a seed would train every worker on other data under one key; only building it a
        # second time shows that
        second = _built(dataset)
        if fingerprint_of_examples(second, dataset.label) != content:
            raise _other_each_time(dataset)
        data.fingerprint = f"{content} {_fetched(second, dataset)}"
        seconds = time.perf_counter() - started
        data.notes = [
            *data.notes,
            f"{dataset.label} has no fingerprint; its examples were hashed twice in {seconds:.1f} s",
        ]
    return data


def _fetched(data: Data, dataset: Component) -> str:
    """Return a hash of examples as they are fetched from a copy of the data that nothing else uses.

    Raises:
        DataError: another copy gives different examples from the same state of the global generators.
    """
    with all_generators(0):
        first = hash_of_some(data, dataset.label)
    with all_generators(0):
        again = hash_of_some(data, dataset.label)
    # two fetches may differ because the dataset advances a seeded generator of its own; a fresh copy starts it again
    if first != again:
        other = _built(dataset)
        with all_generators(0):
            if hash_of_some(other, dataset.label) != first:
                raise _other_each_time(dataset)
    return first


def _other_each_time(dataset: Component) -> DataError:
    return DataError(
        f"{dataset.label} gives other examples each time it is built",
        where="it was built twice; every worker, and every run, would train on other data",
        hint="draw from a seeded generator, for example torch.Generator().manual_seed(0)",
    )


def _built(dataset: Component) -> Data:
    """Build data from a fixed state of the global generators, so that random datasets are equal in all processes."""
    # the generators are set outside of the guard, which then sees whether the dataset seeds them itself
    guard = assert_global_state_unchanged(dataset.label, allow_torch_rng=True)
    with all_generators(0), guard, stdout_to_stderr(), leaves_modules([dataset]):
        data = dataset.build({})
    if not isinstance(data, Data):
        raise ParameterError(f"{dataset.label} must give a Data, not {type(data).__name__}")
    return data


def build_learner(
    experiment: ResolvedExperiment,
    data: Data,
    *,
    seed: int,
    device: str = "cpu",
    folder: Path | None = None,
    catalog: Catalog | None = None,
    callbacks: tuple[Callback, ...] = (),
) -> Learner:
    """Build every component of an experiment and put them together.

    The model is built under the stream ``init``, its parts each under their own. The learner's attribute ``parts``
    names the parts that are paired between arms; empty means that none is.
    """
    facts = data.facts()
    values = experiment.values
    # sorted by name: the key ignores the order in which callbacks are given, so training must not depend on it
    own_callbacks = sorted(experiment.components("callbacks"), key=lambda component: component.alias)
    callback_slots = (experiment.component("checkpoint"), *own_callbacks)
    streams = Streams(seed, values.get("vary"))
    # parts draw their weights from streams of their own, so an arm that swaps one part starts the others equal
    with all_generators(streams.seed("init")), streams.initializing() as parts:
        learner = Learner(
            _model(experiment, facts),
            data,
            _loss(experiment.component("loss"), facts),
            optimizer=experiment.component("optimizer").partial(facts),
            lr=values["lr"],
            batch_size=values["batch_size"],
            valid_batch_size=values["valid_batch_size"],
            sampler=experiment.component("sampler").partial(facts),
            valid_sampler=_optional_partial(experiment, "valid_sampler", facts),
            stepper=_built_as(Stepper, "a lab.Stepper", experiment.component("stepper"), facts),
            callbacks=[
                *callbacks,
                *(_callback(component, facts) for component in callback_slots),
            ],
            metrics=_metrics(experiment, facts),
            seed=Streams(seed, values.get("vary")),
            device=device,
            folder=folder,
            methods=_methods(catalog, tuple(catalog.plugins)) if catalog is not None else {},
            progress=False,
        )
    learner.parts = tuple(dict.fromkeys(parts.names))
    return learner


def build_model(experiment: ResolvedExperiment, data: Data, seed: int) -> torch.nn.Module:
    """Build the model alone, with the initial weights that ``build_learner`` gives it."""
    streams = Streams(seed, experiment.values.get("vary"))
    with all_generators(streams.seed("init")), streams.initializing():
        return _model(experiment, data.facts())


def _model(experiment: ResolvedExperiment, facts: Mapping[str, Any]) -> torch.nn.Module:
    model: torch.nn.Module = _built_as(torch.nn.Module, "an nn.Module", experiment.component("architecture"), facts)
    return model


def _build(component: Component, facts: Mapping[str, Any]) -> Any:
    """Return the built component; it may draw initial weights but change no other global state."""
    with (
        # watching torch's functions costs 0.5 ms per component; runs skip it, since `isolated` restores them once per
        # run
        assert_global_state_unchanged(component.label, allow_torch_rng=True, functions=_naming.get()),
        stdout_to_stderr(),
    ):
        return component.build(facts)


def _built_as(kind: type, name: str, component: Component, facts: Mapping[str, Any]) -> Any:
    """Return the built component.

    Raises:
        ParameterError: it is not a ``kind``, called ``name`` in the message.
    """
    built = _build(component, facts)
    if not isinstance(built, kind):
        raise ParameterError(f"{component.label} must be {name}, not {describe_structure(built)}")
    return built


def _callback(component: Component, facts: Mapping[str, Any]) -> Callback:
    """Return a callback; an observer that is not part of ``lab`` is watched, since no key says that it was there."""
    built: Callback = _built_as(Callback, "a lab.Callback", component, facts)
    built.is_foreign = component.is_foreign
    built.is_watched = built.observer and built.is_foreign
    return built


_naming: ContextVar[bool] = ContextVar("lab_naming_culprits", default=False)


@contextmanager
def naming_culprits() -> Iterator[None]:
    """Raise inside the block if building a component replaces torch's functions; outside, runs only restore them."""
    token = _naming.set(True)
    try:
        yield
    finally:
        _naming.reset(token)


def _optional_partial(experiment: ResolvedExperiment, slot: str, facts: Mapping[str, Any]) -> Callable[..., Any] | None:
    return experiment.component(slot).partial(facts) if slot in experiment.slots else None


def _loss(component: Component, facts: Mapping[str, Any]) -> Callable[[Any, Any], torch.Tensor]:
    """Return an instance if the loss is a class, else the function with its parameters bound."""
    return _build(component, facts) if isinstance(component.factory, type) else component.partial(facts)


def _metrics(experiment: ResolvedExperiment, facts: Mapping[str, Any]) -> dict[str, Any]:
    built: dict[str, Any] = {}
    for component in experiment.components("metrics"):
        if component.alias in built:
            raise ParameterError(f"duplicate metric: '{component.alias}'")
        built[component.alias] = _build(component, facts)
    return built


_ATTRIBUTES = (
    *("batch", "callbacks", "data", "device", "distributed", "folder", "history", "loss", "losses", "lr", "metrics"),
    *("model", "optimizer", "parts", "position", "stepper", "streams"),
)


@lru_cache(maxsize=8)
def _methods(catalog: Catalog, plugins: tuple[str, ...]) -> Mapping[str, Callable[..., Any]]:
    """Return the methods that plugins add to a learner; collected again once a study file has registered hooks."""
    # a method of the learner's own name would never be called, or replace what training calls
    owned = catalog.collect_owned("lab_learner_methods", taken={*dir(Learner), *_ATTRIBUTES})
    return _LazyMethods({name: target for name, (_, target) in owned.items()})


class _LazyMethods(Mapping[str, Callable[..., Any]]):
    """Methods by name; a function given by its path is imported when it is looked up."""

    def __init__(self, targets: Mapping[str, Any]) -> None:
        self._targets = targets

    def __contains__(self, name: object) -> bool:
        # not Mapping's, which would import the function
        return name in self._targets

    def __getitem__(self, name: str) -> Callable[..., Any]:
        target = self._targets[name]
        found: Callable[..., Any] = target if callable(target) else load_object(target, f"learner method '{name}'")
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._targets)

    def __len__(self) -> int:
        return len(self._targets)
