"""Resolved components: a component with every choice made, which can be written as JSON and built."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import attrs

from lab.errors import place_of
from lab.registry.registry import Registry
from lab.registry.values import to_plain

__all__ = ["Component", "read_only"]


def read_only(mapping: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a view of a copy of a mapping that nobody can write to."""
    return mapping if isinstance(mapping, MappingProxyType) else MappingProxyType(dict(mapping))


@attrs.frozen(eq=False)
class Component:
    """A component with every choice made, as a name in an experiment is resolved to.

    Attributes:
        registry: the registry it belongs to.
        name: its registered name (of a preset, the name of its target), or the origin of a user-defined class.
        alias: the name that the researcher used: a preset's own name.
        plugin: the plugin with its version, ``"lab_seq2seq 0.1.0"``, or ``"local"``.
        factory: the class or function.
        params: every parameter that has a value; nested components are Components.
        needs: names of parameters that the caller or the data must fill.
        as_factory: whether the component that it is nested in gets a factory and builds it itself.
        types: place → type of what JSON does not tell of the parameters: ``lab.registry.value_types``.
    """

    registry: Registry
    name: str
    alias: str
    plugin: str
    factory: Callable[..., Any]
    params: Mapping[str, Any] = attrs.field(converter=read_only)
    needs: tuple[str, ...]
    as_factory: bool = False
    types: Mapping[str, str] = attrs.field(converter=read_only, factory=dict)

    @property
    def kind(self) -> str:
        """The name of its registry."""
        return self.registry.spec.name

    @property
    def label(self) -> str:
        """Its name in messages: ``architecture 'seq2seq_rnn' (lab_seq2seq 0.1.0)``."""
        return f"{self.registry.spec.singular} '{self.name.partition('#')[0]}' ({self.plugin})"

    @property
    def is_third_party(self) -> bool:
        """True if a plugin brings it that is not part of ``lab``; a class of a study file has no plugin."""
        found = [entry.plugin for entry in self.registry.entries() if str(entry.plugin) == self.plugin]
        return bool(found) and not found[0].is_builtin

    @property
    def is_foreign(self) -> bool:
        """True if it is no part of ``lab``: of a third party, a study file or a module of the user's."""
        return self.is_third_party or self.plugin == "local"

    @property
    def place(self) -> str:
        """File and line of the class or function, for messages; empty if it has no source."""
        return place_of(self.factory)

    @property
    def unfilled_parameters(self) -> list[str]:
        """The needs that the data must fill."""
        return self.registry.spec.unfilled_parameters(self.factory, self.needs)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON of the whole component."""
        params = {name: _plain(value) for name, value in self.params.items()}
        found: dict[str, Any] = {"component": self.name, "plugin": self.plugin, "params": params}
        return found | ({"types": dict(self.types)} if self.types else {})

    def walk(self) -> Iterator[Component]:
        """Iterate over this component and every component nested in it."""
        yield self
        for inner in self._nested():
            yield from inner.walk()

    def walk_built(self) -> Iterator[Component]:
        """Iterate over this component and those that are built with it, not those that it builds itself."""
        yield self
        for inner in self._nested():
            if not inner.as_factory:
                yield from inner.walk_built()

    def _nested(self) -> list[Component]:
        values = [item for value in self.params.values() for item in (value if isinstance(value, list) else [value])]
        return [item for item in values if isinstance(item, Component)]

    def build(self, facts: Mapping[str, Any], **given: Any) -> Any:
        """Call the factory: ``given`` by the caller, needs from ``facts``, the rest as chosen."""
        filled = {name: facts[name] for name in self.needs if name in facts and name not in given}
        return self.factory(**filled, **self.arguments(facts), **given)

    def partial(self, facts: Mapping[str, Any]) -> Callable[..., Any]:
        """Return the factory with its parameters filled as chosen and from ``facts``; the rest is the caller's."""
        filled = {name: facts[name] for name in self.unfilled_parameters if name in facts}
        return partial(self.factory, **filled, **self.arguments(facts))

    def arguments(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Return the chosen parameters, nested components built."""
        return {name: _argument(value, facts) for name, value in self.params.items()}


def _argument(value: Any, facts: Mapping[str, Any]) -> Any:
    if isinstance(value, list):
        return [_argument(item, facts) for item in value]
    if not isinstance(value, Component):
        return value
    return partial(value.factory, **value.arguments(facts)) if value.as_factory else value.build(facts)


def _plain(value: Any) -> Any:
    if isinstance(value, Component):
        return value.to_json()
    if isinstance(value, list):
        return [_plain(item) for item in value]
    try:
        return to_plain(value)
    except TypeError:
        # A default of a type that cannot be serialized; the factory's source describes it.
        return f"a {type(value).__qualname__}"
