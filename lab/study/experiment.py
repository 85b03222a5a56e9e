"""An experiment: the whole recipe of one training, one component in each slot."""

from __future__ import annotations

import inspect
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import attrs

from lab.errors import LabError, ParameterError, StudyError, UnknownNameError, did_you_mean
from lab.registry.component import Reference, as_use, plain_value
from lab.registry.plugins import Catalog
from lab.registry.resolve import Resolver, change, follow
from lab.registry.resolved import Component, read_only
from lab.registry.signature import Parameter, inner_of, parameters_of, resolve_annotation, scope_of
from lab.registry.text import read_text
from lab.registry.values import check_value, to_plain

if TYPE_CHECKING:
    from lab.training.data import Data

__all__ = [
    "TASK",
    "Experiment",
    "FurtherProblems",
    "ResolvedExperiment",
    "Task",
    "facts_for_samplers",
    "unmet_by_split",
]

FurtherProblems = Callable[[Sequence[Component]], list[str]]
"""Called with the components of an experiment; returns their problems, which are reported with all others."""

TASK = "task"
"""The slot of a training function that is a whole experiment."""

FREE = "parameters"
"""The parameter in which a task takes parameters of any name, as ``command`` does."""


MAX_DIGITS = 8
"""Longer numbers are rounded in tables."""

MAX_BITS = 63
"""Torch's integers have 64 bits, one of them the sign."""

MAX_SUGGESTIONS = 3
"""Datasets that a message suggests at most."""

TYPE = ":type"
"""End of the path of a value's type, among paths of values."""

SYNONYMS = ("labels", "label", "target", "classes", "y", "ys")
"""Attributes of other people's splits that are likely to be ``targets``."""

# only after a colon (file.py:Class#hash): a user's own value may contain '#' and hex digits
SOURCE_HASH = re.compile(r"(:[^#\s]+)#[0-9a-f]{12}(?![0-9a-f])")


def _slot(kind: str, default: Any = attrs.NOTHING) -> Any:
    return attrs.field(default=default, metadata={"kind": kind, "optional": default is None})


def _slots(kind: str) -> Any:
    return attrs.field(default=(), converter=_as_tuple, metadata={"kind": kind, "many": True})


def _as_tuple(value: Any) -> tuple[Any, ...]:
    if value is None:
        return ()
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)


def _sources(vary: Any) -> Any:
    return [vary] if isinstance(vary, str) else list(vary) if isinstance(vary, tuple) else vary


def _number(default: Any, annotation: Any, smallest: float) -> Any:
    return attrs.field(default=default, converter=plain_value, metadata={"type": annotation, "smallest": smallest})


class Changeable:
    """Base of what arms change at a path: an experiment, or a task."""

    __slots__ = ()

    def changed(self, path: str, value: Any, catalog: Catalog) -> Self:
        """Return a copy with the component or parameter at ``path`` replaced.

        Args:
            path: a slot (``architecture``), or a parameter by dots (``architecture.attention.width``); components of
                ``callbacks`` and ``metrics`` are addressed by name (``callbacks.one_cycle.pct_start``). Of a task, a
                parameter, or ``task`` for the function itself, unless it has a parameter of that name.
            value: the new component or value.
            catalog: where names are looked up.

        Raises:
            LabError: nothing is at that path; close matches are given.
        """
        return self._replaced(path, lambda _: value, catalog)

    def changed_by_text(self, path: str, text: str, catalog: Catalog) -> Self:
        """Return a copy with the value at ``path`` replaced by a text, parsed by the annotation there.

        Raises:
            LabError: nothing is at that path, or the text does not fit.
        """
        return self._replaced(path, lambda parameter: read_text(text, parameter, catalog), catalog)

    def _replaced(self, path: str, give: Callable[[Parameter], Any], catalog: Catalog) -> Self:
        raise NotImplementedError


@attrs.frozen(kw_only=True)
class Experiment(Changeable):
    """The recipe of one training. Each slot takes a registered name, ``use(name, ...)``, or a user-defined class.

    Attributes:
        dataset, architecture, loss, sampler, stepper, optimizer: one component each.
        valid_sampler: the order of validation; None takes the longest examples first, or the order of the split where
            examples have no length. It matters for a loss that counts padding.
        callbacks, metrics: any number of components.
        checkpoint: when the state of training is saved.
        lr: learning rate; a list gives one per layer group, ``slice(low, high)`` spreads over them.
        batch_size: examples per batch.
        valid_batch_size: examples per batch of validation; as ``batch_size`` if None.
        epochs: passes over the training split.
        vary: sources of randomness that differ between seeds: ``init``, ``order`` (of the batches), ``dropout``,
            ``augment``, ``other`` (the stepper and every other component); the others are the same in all runs. None:
            all differ.
    """

    dataset: Reference = _slot("datasets")
    architecture: Reference = _slot("architectures")
    loss: Reference = _slot("losses")
    sampler: Reference = _slot("samplers", "shuffle")
    valid_sampler: Reference | None = _slot("samplers", None)
    stepper: Reference = _slot("steppers", "supervised")
    optimizer: Reference = _slot("optimizers", "adam")
    callbacks: tuple[Reference, ...] = _slots("callbacks")
    metrics: tuple[Reference, ...] = _slots("metrics")
    checkpoint: Reference = _slot("callbacks", "checkpoint")
    lr: float | Sequence[float] | slice = _number(1e-3, float | list[float] | slice, 0.0)
    batch_size: int = _number(64, int, 1)
    valid_batch_size: int | None = _number(None, int | None, 1)
    epochs: int = _number(1, int, 1)
    vary: Sequence[str] | None = attrs.field(
        default=None, converter=_sources, metadata={"type": list[str] | None, "smallest": 0}
    )

    def _replaced(self, path: str, give: Callable[[Parameter], Any], catalog: Catalog) -> Experiment:
        slot, *rest = path.split(".")
        fields = attrs.fields_dict(Experiment)
        if slot not in fields:
            hint = f"an experiment has: {', '.join(fields)}"
            raise UnknownNameError.among("path", path, list(fields), hint=hint)
        kind, inner = fields[slot].metadata.get("kind"), ".".join(rest)
        if rest and kind is None:
            raise UnknownNameError(f"unknown path '{path}'", hint=f"'{slot}' is a value and has no '{inner}'")
        if rest and getattr(self, slot) is None:
            hint = f"choose it too: {slot}=NAME, or in one: {slot}=NAME({inner}=...); names: lab list {kind}"
            raise UnknownNameError(f"there is no {slot} here, so it has no '{inner}'", hint=hint)
        registry = None if kind is None else catalog.registry(kind)
        place = Parameter(slot, fields[slot].metadata.get("type"), registry=registry)
        changes: dict[str, Any] = {slot: change(catalog, place, getattr(self, slot), rest, give)}
        return attrs.evolve(self, **changes)

    def resolve(
        self, catalog: Catalog, further: FurtherProblems | None = None
    ) -> tuple[ResolvedExperiment | None, list[str]]:
        """Look up every name, fill in every default, and return the experiment, or None, with all problems.

        Args:
            catalog: where names are looked up.
            further: returns further problems of the components that were found, nested ones included.
        """
        resolver = Resolver(catalog)
        slots: dict[str, Component | list[Component]] = {}
        values: dict[str, Any] = {}
        for field in attrs.fields(Experiment):
            value = getattr(self, field.name)
            if field.name == "vary" and value is None:
                # left out, so that the keys of runs in which everything varies stay what they were
                continue
            if "kind" not in field.metadata:
                values[field.name] = _checked_number(field, value, resolver.problems)
            elif field.metadata.get("many"):
                found = [resolver.resolve(field.metadata["kind"], item) for item in value]
                slots[field.name] = [component for component in found if component is not None]
            elif not (field.metadata["optional"] and value is None):
                component = resolver.resolve(field.metadata["kind"], value)
                if component is not None:
                    slots[field.name] = component
        if not resolver.problems:
            resolver.problems.extend(_unmet_needs(slots, catalog))
        if further is not None:
            resolver.problems.extend(further(ResolvedExperiment(slots, values).all_components()))
        return (None if resolver.problems else ResolvedExperiment(slots, values)), resolver.problems


@attrs.frozen
class Task(Changeable):
    """A training function as a whole experiment; see ``lab.study.task``.

    Attributes:
        task: a function, a name in the registry ``tasks``, or ``use(function, ...)``.
    """

    task: Reference

    def _replaced(self, path: str, give: Callable[[Parameter], Any], catalog: Catalog) -> Task:
        rest = [] if path == TASK and not self._takes(TASK, catalog) else path.removeprefix(f"{TASK}.").split(".")
        free = as_use(self.task).params.get(FREE)
        if len(rest) == 1 and isinstance(free, Mapping) and rest[0] not in as_use(self.task).params:
            if rest[0] not in free:
                hint = f"parameters here: {', '.join(free) or 'none'}"
                raise UnknownNameError.among("parameter", rest[0], list(free), hint=hint)
            place = Parameter(rest[0], type(free[rest[0]]))
            return Task(as_use(self.task).with_params({FREE: {**free, rest[0]: give(place)}}))
        place = Parameter(TASK, None, registry=catalog.registry("tasks"))
        return Task(change(catalog, place, self.task, rest, give))

    def _takes(self, name: str, catalog: Catalog) -> bool:
        """Return whether the function has a parameter of that name."""
        chosen = as_use(self.task)
        factory = follow(catalog, catalog.registry("tasks"), chosen).factory
        return name in parameters_of(factory, catalog)[0] or name in chosen.params

    def resolve(
        self, catalog: Catalog, further: FurtherProblems | None = None
    ) -> tuple[ResolvedExperiment | None, list[str]]:
        """Look up every name and fill in every default; gives the complete experiment, or None and all problems."""
        resolver = Resolver(catalog)
        component = resolver.resolve("tasks", self.task)
        if component is not None:
            resolver.problems += [
                f"{component.label}: parameter '{name}' has no default and must be given{_given_by_run(name)}"
                for name in component.unfilled_parameters
                if name != "run"
            ]
            if "run" in component.params:
                resolver.problems.append(f"{component.label}: 'run' is filled by lab and must have no default")
            if isinstance(component.factory, type):
                resolver.problems.append(f"{component.label}: a task is a function that trains, not a class")
            if inspect.iscoroutinefunction(component.factory) or inspect.isgeneratorfunction(component.factory):
                resolver.problems.append(f"{component.label}: a task is a plain function, without async and yield")
            resolver.problems += [] if further is None else further(list(component.walk()))
        if component is None or resolver.problems:
            return None, resolver.problems
        return ResolvedExperiment({TASK: component}, {}), []


@attrs.frozen(eq=False)
class ResolvedExperiment:
    """An experiment with every choice made; with seed, code and data, its JSON determines the numbers."""

    # read-only: plugins that watch a run get this very object
    slots: Mapping[str, Component | list[Component]] = attrs.field(converter=read_only)
    values: Mapping[str, Any] = attrs.field(converter=read_only)

    def component(self, slot: str) -> Component:
        """Return the component of a slot that holds one."""
        found = self.slots[slot]
        assert isinstance(found, Component)
        return found

    def value_at(self, path: str) -> Any:
        """Return the parameter, or the value of the experiment, at a path by dots; None if nothing is there.

        Components of ``callbacks`` and ``metrics`` are addressed by name, as in ``Experiment.changed``.
        """
        slot, *names = path.split(".")
        if slot in self.values:
            return None if names else self.values[slot]
        item: Any = self.slots.get(slot)
        for name in names:
            if isinstance(item, list):
                item = next((each for each in item if name in (each.alias, each.name)), None)
            else:
                item = item.params.get(name) if isinstance(item, Component) else None
        return item

    def components(self, slot: str) -> list[Component]:
        """Return the components of a slot that holds several."""
        found = self.slots.get(slot, [])  # a task has none
        assert isinstance(found, list)
        return found

    @property
    def task(self) -> Component | None:
        """The training function, if that is the whole experiment."""
        found = self.slots.get(TASK)
        return found if isinstance(found, Component) else None

    def all_components(self) -> list[Component]:
        """Return every component, including nested ones."""
        tops = [item for slot in self.slots.values() for item in (slot if isinstance(slot, list) else [slot])]
        return [component for top in tops for component in top.walk()]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        slots = {
            name: [item.to_json() for item in slot] if isinstance(slot, list) else slot.to_json()
            for name, slot in self.slots.items()
        }
        return {**slots, **{name: to_plain(value) for name, value in self.values.items()}}

    def difference(self, other: ResolvedExperiment) -> dict[str, tuple[Any, Any]]:
        """Return how ``other`` differs: path → (here, there). Of a component that differs, no parameter is listed."""
        here, there = _told_apart(_flatten(self.to_json()), _flatten(other.to_json()))
        paths = [path for path in [*here, *(p for p in there if p not in here)] if here.get(path) != there.get(path)]
        # a replaced component has other parameters throughout; listing them would hide the one change
        paths = [path for path in paths if not any(path.startswith(f"{shorter}.") for shorter in paths)]
        # a task is the whole experiment, so its parameters are addressed without it
        short = {path: _outside_task(without_hash(path)) for path in paths}
        count = Counter(short.values())
        return {
            # without hashes two versions of one class would share a path, so these keep theirs
            short[path] if count[short[path]] == 1 else path: _describe_change(here.get(path), there.get(path))
            for path in paths
        }


def _given_by_run(name: str) -> str:
    return f"\n  the run has it: run.{name}" if name in ("seed", "folder", "device", "threads") else ""


def _outside_task(path: str) -> str:
    return path.removeprefix(f"{TASK}.{FREE}.").removeprefix(f"{TASK}.")


def _checked_number(field: attrs.Attribute[Any], value: Any, problems: list[str]) -> Any:
    annotation, smallest = field.metadata["type"], field.metadata["smallest"]
    try:
        value = check_value(value, annotation)
    except TypeError as error:
        problems.append(f"{field.name} {error}")
        return value
    if field.name == "vary":
        problems += _vary_problems(value)
        return value
    if isinstance(value, slice) and not (
        _is_number(value.stop) and (value.start is None or _is_number(value.start)) and value.step is None
    ):
        problems.append(f"{field.name} as a slice must be slice(low, high) or slice(high) of numbers, not {value}")
        return value
    for number in _numbers_in(value):
        if isinstance(number, int) and number.bit_length() > MAX_BITS:
            problems.append(f"{field.name} must be below 2^{MAX_BITS}")
        elif not math.isfinite(number):
            problems.append(f"{field.name} must be a finite number, not {number}")
        elif number < smallest:
            problems.append(f"{field.name} must be at least {smallest}, not {number}")
    return value


def _vary_problems(vary: Sequence[str]) -> list[str]:
    from lab.training.rng import SOURCES

    hint = f"sources of randomness: {', '.join(SOURCES)}"
    return [
        str(UnknownNameError.among("source", name, list(SOURCES), hint=hint)) for name in vary if name not in SOURCES
    ]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _numbers_in(value: Any) -> list[float]:
    items = [value.start, value.stop] if isinstance(value, slice) else value if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, (int, float))]


def _unmet_needs(slots: Mapping[str, Component | list[Component]], catalog: Catalog) -> list[str]:
    """Return the needs that the dataset's return type declares no fact for."""
    dataset = slots["dataset"]
    assert isinstance(dataset, Component)
    problems = [f"{dataset.label}: parameter '{name}' has no default and must be given" for name in dataset.needs]
    offered = declared_facts(dataset)
    # a plain Data may offer anything: unmet needs then show in the rehearsal
    if offered is None:
        return problems
    for name, slot in slots.items():
        for component in slot if isinstance(slot, list) else [slot]:
            if name != "dataset":
                problems += [
                    text for part in component.walk_built() for text in _unmet(part, offered, dataset, catalog)
                ]
    return problems


def _unmet(component: Component, offered: Sequence[str], dataset: Component, catalog: Catalog) -> list[str]:
    # passed by the caller (output and target of a loss, say), so no fact is needed for them
    given = {"data", *component.registry.spec.call_arguments}
    missing = [need for need in component.unfilled_parameters if need not in offered and need not in given]
    if not missing:
        return []
    names = ", ".join(f"'{need}'" for need in missing)
    hint = did_you_mean(missing[0], [*offered, *given]).splitlines()
    hint.append(f"offered: {', '.join(sorted(offered)) or 'nothing'}")
    if others := _offering(missing, dataset, catalog):
        hint.append(f"datasets that offer it: {', '.join(others[:MAX_SUGGESTIONS])}")
    hint.append(f"or choose it: use('{component.alias}', {missing[0]}=...)")
    if component.is_third_party:
        hint.append(component.place)
    what = f"{component.label} needs {names}, which {dataset.label} does not offer"
    return [str(ParameterError(what, hint="\n".join(hint)))]


def _offering(facts: Sequence[str], dataset: Component, catalog: Catalog) -> list[str]:
    """Return datasets that declare all of these facts; a wrapper is shown around the current dataset."""
    found = []
    for entry in dataset.registry.entries():
        # a plugin that cannot be imported must not hide the real problem behind its own
        with suppress(LabError):
            factory = entry.load()
            if callable(factory) and set(facts) <= set(_facts_of(factory) or ()):
                inner = inner_of(dataset.registry, factory, catalog)
                found.append(f"use('{entry.name}', {inner}='{dataset.alias}')" if inner else f"'{entry.name}'")
    return found


def declared_facts(dataset: Component) -> list[str] | None:
    """Return the names of the facts that a dataset's return type declares; None if it declares just ``Data``."""
    return _facts_of(dataset.factory)


def _facts_of(factory: Callable[..., Any]) -> list[str] | None:
    from lab.training.data import Data, fact_types

    returned = _data_type(factory)
    return None if returned in (None, Data) else list(fact_types(returned))


def _data_type(factory: Callable[..., Any]) -> type[Data] | None:
    """Return the subclass of Data that a dataset is declared to give, or None."""
    from lab.training.data import Data

    returned = factory if isinstance(factory, type) else None
    if returned is None:
        annotation = inspect.signature(factory).return_annotation
        returned = resolve_annotation(annotation, scope_of(factory))
    return returned if isinstance(returned, type) and issubclass(returned, Data) else None


def facts_for_samplers(factory: Callable[..., Any]) -> str:
    """Return what the splits of a dataset offer to samplers, as ``split_facts`` of its data says in its first line.

    It is empty for data that keep to ``Data.split_facts``.
    """
    from lab.training.data import Data

    returned = _data_type(factory)
    if returned is None or returned.split_facts is Data.split_facts:
        return ""
    text = (inspect.getdoc(returned.split_facts) or "").partition("\n")[0]
    return text.removeprefix("Return ").replace("``", "").removesuffix(".")


def unmet_by_split(component: Component, dataset: Component, offered: Collection[str], split: Any) -> str:
    """Return the problem of a sampler that needs what a split does not offer, or nothing.

    Args:
        component: the sampler.
        dataset: where its examples come from.
        offered: names of what it may ask for.
        split: the examples.
    """
    missing = [need for need in component.needs if need not in offered]
    if not missing:
        return ""
    hint = [did_you_mean(missing[0], offered, f"offered: {', '.join(sorted(offered))}")]
    if sometimes := facts_for_samplers(dataset.factory) if callable(dataset.factory) else "":
        hint.append(f"its splits offer: {sometimes}")
    alike = (
        [name for name in SYNONYMS if hasattr(getattr(split, name, None), "__len__")] if "targets" in missing else []
    )
    if alike:
        hint.append(f"the split has `{alike[0]}`: call it `targets`, or return it as such in `split_facts`")
    others = []
    for entry in dataset.registry.entries():
        with suppress(LabError):
            factory = entry.load() if entry.plugin.is_builtin else None
            # a preset is no function, and its dataset is in the list
            if (
                factory is not dataset.factory
                and callable(factory)
                and set(missing) <= set(re.findall(r"\w+", facts_for_samplers(factory)))
            ):
                others.append(f"'{entry.name}'")
    if others:
        hint.append(f"datasets whose splits offer it: {', '.join(others)}")
    hint.append("a dataset of yours offers it in `split_facts` of its data: docs/writing-a-plugin.md#facts-of-a-split")
    names = " and ".join(f"'{need}'" for need in missing)
    what = f"{component.label} needs {names}, which a split of {dataset.label} does not offer"
    return str(ParameterError(what, hint="\n".join([*hint, *([component.place] if component.is_third_party else [])])))


class _Name(NamedTuple):
    """A component in a difference: two are the same if name and plugin are."""

    name: str
    plugin: str


def _describe_change(here: Any, there: Any) -> tuple[Any, Any]:
    """Return two values of a difference; components by name, with the plugin if the names are equal."""
    if isinstance(here, _Name) and isinstance(there, _Name) and here.name == there.name:
        return f"{here.name} ({here.plugin})", f"{there.name} ({there.plugin})"
    if isinstance(here, _Name) and isinstance(there, _Name) and without_hash(here.name) == without_hash(there.name):
        return here.name, there.name
    here, there = (without_hash(value.name) if isinstance(value, _Name) else value for value in (here, there))
    return here, there


def without_hash(text: str) -> str:
    """Return a path or a component's name without the hashes of sources, which mean nothing to a reader.

    >>> without_hash("callbacks.wider.py:Nap#bd14599d2b95.seconds")
    'callbacks.wider.py:Nap.seconds'
    """
    return SOURCE_HASH.sub(r"\1", text)


def _flatten(value: Any, path: str = "") -> dict[str, Any]:
    """Return plain JSON as path → value; parameters lie below the path of their component."""
    if isinstance(value, dict) and "component" in value:
        inner = _flatten(value["params"], path)
        types = {f"{path}.{place.replace('/', '.')}{TYPE}": tag for place, tag in value.get("types", {}).items()}
        return {path: _Name(value["component"], value["plugin"]), **inner, **types}
    if isinstance(value, dict):
        return {
            k: v for name, item in value.items() for k, v in _flatten(item, f"{path}.{name}" if path else name).items()
        }
    if isinstance(value, list) and any(isinstance(item, dict) and "component" in item for item in value):
        return {k: v for item in value for k, v in _flatten(item, f"{path}.{item['component']}").items()}
    return {} if value == [] else {path: value}


def _told_apart(*flat: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the flat JSON of two experiments, with types in it for values that are alike but for them."""
    here, there = ({path: value for path, value in each.items() if not path.endswith(TYPE)} for each in flat)
    tags = [{path.removesuffix(TYPE): tag for path, tag in each.items() if path.endswith(TYPE)} for each in flat]
    for path in dict.fromkeys([*tags[0], *tags[1]]):
        one, other = (each.get(path, "as in JSON") for each in tags)
        # the value stands at the path, or inside the value of a parameter above it
        above = next((each for each in _prefixes(path) if each in here or each in there), "")
        inside = {each for each in [*here, *there] if each.startswith(f"{path}.")} or {above}
        if one != other and all(here.get(each) == there.get(each) for each in inside):
            here[path], there[path] = f"type {one}", f"type {other}"
    return here, there


def _prefixes(path: str) -> Iterator[str]:
    """Yield a path and those above it, the longest first."""
    while path:
        yield path
        path = path.rpartition(".")[0]


def describe_value(value: Any) -> str:
    """Return a value of a difference as a reader would write it; long numbers get four digits.

    >>> describe_value(0.005), describe_value(0.0264982895), describe_value(True), describe_value(None)
    ('0.005', '0.0265', 'true', '–')
    """
    if isinstance(value, float) and len(repr(value)) > MAX_DIGITS:
        return f"{value:.4g}"
    return "–" if value is None else value if isinstance(value, str) else json.dumps(value)


def checked(experiment: Experiment | Task, catalog: Catalog) -> ResolvedExperiment:
    """Return the resolved experiment.

    Raises:
        LabError: it has problems; the message lists all of them.
    """
    resolved, problems = experiment.resolve(catalog)
    if resolved is None:
        raise StudyError(problems)
    return resolved
