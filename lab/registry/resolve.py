"""Resolving: a reference becomes a complete component.

One rule binds parameters, for every kind: a parameter *without* a default is filled from the data's facts of the same
name (or is ``data`` itself); a parameter *with* a default is the researcher's. A parameter annotated with a registry's
contract is itself a component; annotated ``Callable[..., Contract]`` it is passed as a factory, which the parent calls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import attrs

from lab.errors import LabError, ParameterError, PluginError, UnknownNameError, did_you_mean
from lab.registry.component import Preset, Reference, Use, as_use
from lab.registry.definition import origin_of
from lab.registry.plugins import Catalog
from lab.registry.registry import Entry, Registry
from lab.registry.resolved import Component
from lab.registry.signature import Parameter, parameters_of, signature_text
from lab.registry.value_types import DEFAULT, OBJECT, Unread, replace_unread, types_of
from lab.registry.values import check_value, describe_type, to_plain

__all__ = ["Resolver", "change", "follow", "follow_presets"]

SEED_BITS = 32
"""Size of a component's seed: NumPy's legacy generators take no more."""


def follow_presets(registry: Registry, chosen: Use) -> tuple[Entry, dict[str, Any]]:
    """Return the entry that a name stands for in the end, and the parameters of its presets, then ``chosen``'s.

    Raises:
        PluginError: a preset of a component that does not exist, or presets that stand for each other.
    """
    entry, params = registry[str(chosen.target)], dict(chosen.params)
    seen = [entry]
    while isinstance(entry.target, Preset):
        # The researcher's parameters win over a preset's, an outer preset's over an inner one's.
        params = {**entry.target.params, **params}
        try:
            inner = registry[str(entry.target.target)]
        except UnknownNameError as error:
            raise PluginError(f"{entry.label} is a preset of an {error.what}", hint=error.hint) from error
        # Two presets may stand for each other.
        if inner in seen:
            raise PluginError(f"{entry.label} is a preset of itself: {' → '.join(e.name for e in (*seen, inner))}")
        seen.append(inner)
        entry = inner
    return entry, params


class _Followed(NamedTuple):
    """The object that a reference stands for.

    Attributes:
        factory: the object itself.
        name: its registered name; empty for a user-defined class or function.
        plugin: its plugin with its version, or ``"local"``.
        params: the parameters of presets, then the researcher's.
        label: its name in messages.
    """

    factory: Any
    name: str
    plugin: str
    params: dict[str, Any]
    label: str


def follow(catalog: Catalog, registry: Registry, chosen: Use) -> _Followed:
    """Load the object that a reference stands for, presets followed.

    Raises:
        LabError: no such name, a preset of nothing, or an object that cannot be loaded or called.
    """
    factory, name, plugin, params = chosen.target, "", "local", dict(chosen.params)
    if isinstance(factory, str):
        entry, params = follow_presets(registry, chosen)
        # A module that is imported now may not change torch, generators or the working folder.
        with nullcontext() if entry.is_loaded else catalog.import_guard(entry.label):
            factory = entry.load()
        if not entry.plugin.is_local:
            name, plugin = entry.name, str(entry.plugin)
    label = f"{registry.spec.singular} '{chosen.name}' ({plugin})"
    if not callable(factory):
        raise ParameterError(f"{label} is not callable: {factory!r}")
    return _Followed(factory, name, plugin, params, label)


def change(
    catalog: Catalog, place: Parameter, current: Any, path: Sequence[str], give: Callable[[Parameter], Any]
) -> Any:
    """Return the value of a parameter with what ``path`` leads to through nested components changed.

    Args:
        catalog: the registries.
        place: the parameter.
        current: its value.
        path: names of parameters; among several components, the component's name first. It is replaced by one or more,
            or removed by None.
        give: gets the parameter at the end of the path, and gives its new value.

    Raises:
        LabError: the path leads nowhere.
    """
    if not path:
        return give(place)
    head, registry = path[0], place.registry
    assert registry is not None
    if isinstance(current, (list, tuple)):
        items, names = list(current), [as_use(item).name for item in current]
        if head not in names:
            hint = f"{registry.spec.name} here: {', '.join(names) or 'none'}"
            raise UnknownNameError.among(registry.spec.singular, head, names, hint=hint)
        index = names.index(head)
        value = change(catalog, Parameter(head, registry=registry), items[index], path[1:], give)
        # None removes the component; a list replaces it by several.
        items[index : index + 1] = value if isinstance(value, (list, tuple)) else [] if value is None else [value]
        return items
    chosen = as_use(current)
    factory, _, _, params, label = follow(catalog, registry, chosen)
    parameters, is_open = parameters_of(factory, catalog)
    # An unknown parameter at the end of the path is reported with all other problems when the component is resolved.
    if len(path) > 1 and head not in parameters and not is_open:
        raise _unexpected(label, head, chosen.name, parameters)
    inner = parameters.get(head, Parameter(head, default=Parameter.REQUIRED))
    value = params.get(head, inner.default)
    if len(path) > 1 and (inner.registry is None or value is None or value is Parameter.REQUIRED):
        described = "not given" if value is Parameter.REQUIRED else repr(value)
        raise ParameterError(f"{label}: '{head}' is {described}, no component, so it has no '{'.'.join(path[1:])}'")
    return chosen.with_param(head, change(catalog, inner, value, path[1:], give))


class Resolver:
    """Resolves references against a catalog and collects every problem instead of stopping at the first.

    Args:
        catalog: the registries.
    """

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.problems: list[str] = []

    def resolve(self, kind: str, reference: Reference) -> Component | None:
        """Return the complete component, or None if it has problems (which are then in ``problems``)."""
        try:
            return self._component(self.catalog.registry(kind), reference)
        except LabError as error:
            self.problems.append(str(error))
        return None

    def _component(self, registry: Registry, reference: Reference) -> Component | None:
        try:
            chosen = as_use(reference)
            found = follow(self.catalog, registry, chosen)
            parameters, is_open = parameters_of(found.factory, self.catalog)
            # User-defined components are distinguished by their sources, not by their names.
            name = found.name or origin_of(found.factory)
        except TypeError as error:
            raise ParameterError(f"{registry.spec.singular}: {error}") from None
        label = f"{registry.spec.singular} '{name.partition('#')[0]}' ({found.plugin})"
        before = len(self.problems)
        values = self._values(label, name, found.params, parameters, is_open)
        if len(self.problems) > before:
            return None
        # The order of the signature is kept: losses get their first needs by position.
        needs = tuple(p.name for p in parameters.values() if p.is_required and p.name not in values)
        # plugin:name is shown as name.
        alias = chosen.name.rpartition(":")[2]
        types = _types(values, parameters)
        return Component(registry, name, alias, found.plugin, found.factory, values, needs, types=types)

    def _values(
        self, label: str, name: str, params: Mapping[str, Any], parameters: Mapping[str, Parameter], is_open: bool
    ) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for unknown in [param for param in params if param not in parameters and not is_open]:
            self.problems.append(str(_unexpected(label, unknown, name, parameters)))
        for parameter in parameters.values():
            if parameter.name in params:
                values[parameter.name] = self._value(label, parameter, params[parameter.name])
            elif not parameter.is_required:
                values[parameter.name] = self._default(label, parameter)
        extra = {key: value for key, value in params.items() if key not in parameters} if is_open else {}
        return values | {key: self._value(label, Parameter(key), value) for key, value in extra.items()}

    def _default(self, label: str, parameter: Parameter) -> Any:
        """Return the default as it would be if it had been chosen, so that choosing it changes no key."""
        # A default may name a component; lists and None stand for themselves.
        if parameter.registry is not None and not isinstance(parameter.default, (list, tuple, type(None))):
            return self._value(label, parameter, parameter.default)
        try:
            return check_value(parameter.default, parameter.annotation)
        except TypeError:
            # A default may be a marker that its own annotation does not allow.
            return parameter.default

    def _value(self, label: str, parameter: Parameter, value: Any) -> Any:
        try:
            if parameter.registry is not None:
                return self._nested(parameter.registry, parameter, value)
            if isinstance(value, Use):
                raise TypeError(f"is not a component but {describe_type(parameter.annotation)}")
            value = replace_unread(value, lambda unread: _found_again(unread, parameter))
            value = check_value(value, parameter.annotation)
            # A value that cannot be written as JSON cannot be part of a key, so it is refused here.
            to_plain(value)
            _check_seed(parameter.name, value)
            return value
        except TypeError as error:
            self.problems.append(f"{label}: parameter '{parameter.name}' {error}")
        except LabError as error:
            self.problems.append(f"{label}: parameter '{parameter.name}': {error}")
        return None

    def _nested(self, registry: Registry, parameter: Parameter, value: Any) -> Any:
        if value is None:
            return check_value(value, parameter.annotation)
        if parameter.is_list:
            items = value if isinstance(value, (list, tuple)) else [value]
            return [self._component(registry, item) for item in items]
        component = self._component(registry, value)
        return component and attrs.evolve(component, as_factory=parameter.as_factory)


def _types(values: Mapping[str, Any], parameters: Mapping[str, Parameter]) -> dict[str, str]:
    """Return place → type of what JSON does not tell; of a default that it does not give back, that it is one."""
    found: dict[str, str] = {}
    for name, value in values.items():
        parameter = parameters.get(name, Parameter(name))
        # a component has a record of its own
        if parameter.registry is not None:
            continue
        try:
            types = types_of(value, name)
        except TypeError:
            # a default that cannot be written down, such as a set of objects
            types = {name: OBJECT}
        is_default = OBJECT in types.values() and value is parameter.default
        found |= {name: DEFAULT} if is_default else types
    return found


def _found_again(unread: Unread, parameter: Parameter) -> Any:
    """Return the value that a record holds the text of, if it is the default of its parameter.

    Raises:
        TypeError: it is another one.
    """
    try:
        if to_plain(parameter.default) == unread.plain:
            return parameter.default
    except TypeError:
        # a default that cannot be written down; the source of its class describes it
        if unread == f"a {type(parameter.default).__qualname__}":
            return parameter.default
    raise TypeError(f"was {unread.partition('#')[0]}, which a record does not give back")


def _unexpected(label: str, unknown: str, name: str, parameters: Mapping[str, Parameter]) -> ParameterError:
    # A user-defined class or function is called by its own name: the hash of its source says nothing to its author.
    called = name.rpartition("#")[0].rpartition(":")[2] or name
    hint = did_you_mean(unknown, list(parameters), f"signature: {signature_text(called, parameters)}")
    return ParameterError(f"{label}: unexpected parameter '{unknown}'", hint=hint)


def _check_seed(name: str, value: Any) -> None:
    """Refuse a seed that NumPy's generators, which take no negative ones, or torch's would refuse in their own words.

    Raises:
        TypeError: the value of a parameter called ``seed`` or ``..._seed`` is out of range.
    """
    is_seed = (name == "seed" or name.endswith("_seed")) and isinstance(value, int)
    if is_seed and not 0 <= value < 2**SEED_BITS:
        raise TypeError(f"must be a seed from 0 to 2^{SEED_BITS} - 1, not {value if value < 0 else 'a larger number'}")
