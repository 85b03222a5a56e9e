"""The base class of conformance classes: the component that is checked, its example data, and the checks.

A check is a method whose name begins with ``test_``. It takes nothing, needs no pytest, and raises a ``Finding``; so
pytest runs a subclass as it is, and ``lab check`` runs the same methods.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from functools import cache, cached_property, partialmethod
from typing import Any, ClassVar, NoReturn, TypeVar
from weakref import WeakKeyDictionary

import attrs
from torch import nn

from lab.errors import LabError, PluginError, describe, describe_error, did_you_mean
from lab.registry.component import Reference
from lab.registry.plugins import Catalog, load_catalog
from lab.registry.registry import load_object
from lab.registry.resolve import Resolver
from lab.registry.resolved import Component
from lab.registry.signature import Parameter, parameters_of
from lab.testing.example import Example
from lab.testing.finding import Finding, NotApplicable

__all__ = [
    "ComponentCase",
    "Conformance",
    "ConformanceSupport",
    "installed",
    "kit_of",
    "on_every_example",
    "skip",
]


@cache
def installed() -> Catalog:
    """Return every installed plugin, loaded once."""
    return load_catalog()


SLOW_S = 0.5
"""Slower imports of a plugin are a finding: they delay every command."""

ConformanceT = TypeVar("ConformanceT", bound="Conformance")


def on_every_example(check: Callable[[ConformanceT, Example], None]) -> Callable[[ConformanceT], None]:
    """Make a check run on each example data that the component works on; a finding says on which."""

    def checked(self: ConformanceT) -> None:
        for example in self.fitting():
            try:
                check(self, example)
            except Exception as error:
                error.add_note(f"on the example data '{example.name}'")
                raise

    checked.__name__, checked.__doc__, checked.__qualname__ = check.__name__, check.__doc__, check.__qualname__
    return checked


class Conformance:
    """Checks of components of any kind: the name resolves, parameters bind, the signature is documented.

    ::

        class TestCosine(ArchitectureConformance):
            component = use("cosine_rnn", width=8)

    Attributes:
        kind: the registry, for example ``"architectures"``.
        component: the component to check: a name, ``use(...)``, a class or a function.
        examples: names of the example data it is meant for, each of which it must then work on. Empty: all that offer
            what it needs, of which it must work on at least one.
        exceptions: check → why it does not apply; the check is skipped.
        catalog: the plugins; None takes the installed ones.
    """

    kind: ClassVar[str] = ""
    component: ClassVar[Reference] = None
    examples: ClassVar[tuple[str, ...]] = ()
    exceptions: ClassVar[dict[str, str]] = {}
    catalog: ClassVar[Catalog | None] = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        known = cls.checks()
        # A misspelt check would be an exception without effect.
        for name, reason in cls.exceptions.items():
            if name not in known:
                hint = did_you_mean(name, known) or f"checks: {', '.join(known)}"
                raise TypeError(f"{cls.__name__}.exceptions: unknown check '{name}'; {hint}")
            setattr(cls, name, partialmethod(_skipped, reason))

    @classmethod
    def checks(cls) -> list[str]:
        """Return the names of its checks, the general ones first."""
        # Base classes first: a component whose name does not resolve fails there, with the clearest message.
        ordered = [name for owner in reversed(cls.__mro__) for name in vars(owner) if name.startswith("test_")]
        return [name for name in dict.fromkeys(ordered) if callable(getattr(cls, name))]

    # --- what is checked ----------------------------------------------------------------------------------------------

    @cached_property
    def plugins(self) -> Catalog:
        """The plugins that names are looked up in."""
        # Read from the class: pytest makes an instance per test, and instances share the catalog.
        return type(self).catalog or installed()

    @cached_property
    def resolved(self) -> Component:
        """The component with every choice made."""
        resolver = Resolver(self.plugins)
        found = resolver.resolve(self.kind, type(self).component)
        if found is None:
            raise Finding("\n".join(resolver.problems))
        return found

    @property
    def label(self) -> str:
        """Its name in messages."""
        return self.resolved.label

    @property
    def needs(self) -> list[str]:
        """The facts that it needs, with those of the components built inside it."""
        return [
            need
            for part in self.resolved.walk_built()
            for need in part.unfilled_parameters
            if need != "data" and need not in part.registry.spec.call_arguments
        ]

    # --- what it is tried on ------------------------------------------------------------------------------------------

    def candidates(self) -> list[Example]:
        """Return the example data it is meant for, or all that offer the facts it needs.

        Raises:
            Finding: there is none.
        """
        known = kit_of(self.plugins).examples
        if self.examples:
            unknown = [name for name in self.examples if name not in known]
            if unknown:
                raise Finding(f"unknown example data '{unknown[0]}'", hint=f"example data: {', '.join(known)}")
            return [known[name] for name in self.examples]
        # A loss for classes runs on most data by accident; the kinds of an example say what it is for.
        meant = [example for example in known.values() if self._is_meant_for(example)]
        found = [example for example in meant if set(self.needs) <= example.facts.keys()]
        if not found:
            needs = ", ".join(self.needs)
            raise Finding(
                f"no example data offers what {self.label} needs: {needs}",
                hint=f"example data: {', '.join(known)}\nadd one through the hook lab_conformance",
            )
        return found

    def _is_meant_for(self, example: Example) -> bool:
        asks = any(part.unfilled_parameters for part in self.resolved.walk_built())
        return (asks or example.has_flat_targets) and (not example.kinds or self.kind in example.kinds)

    def fitting(self) -> list[Example]:
        """Return the example data that it works on.

        Raises:
            Finding: it works on none, or fails on one that it is meant for; with the error on each.
        """
        # Trying a component on all examples is the slowest part, so it is done once per class.
        if type(self) not in _TRIED:
            _TRIED[type(self)] = self._try()
        found, refusals = _TRIED[type(self)]
        # Examples that are named must all work; of the others one is enough.
        if not found or (self.examples and refusals):
            raise Finding(f"{self.label} does not work on its example data", hint="\n".join(refusals))
        return found

    def _try(self) -> tuple[list[Example], list[str]]:
        """Return the example data it works on, and the errors on the others."""
        found: list[Example] = []
        refusals: list[str] = []
        for example in self.candidates():
            try:
                self.try_on(example)
                found.append(example)
            except Exception as error:
                refusals.append(f"{example.name}: {describe(error)}")
        return found, refusals

    def try_on(self, example: Example) -> None:
        """Use the component once on ``example``; raise if the two do not fit."""

    # --- checks -------------------------------------------------------------------------------------------------------

    def test_name_and_parameters_resolve(self) -> None:
        """Its name is registered, what it names can be imported, and its parameters bind to its signature."""
        assert self.resolved.factory is not None

    def test_signature_is_documented(self) -> None:
        """It has a docstring; every parameter has a type, and those of the researcher are explained."""
        factory = self.resolved.factory
        # The documentation pages are made of these docstrings.
        text = _documentation(factory)
        if not text.strip():
            raise Finding(f"{self.label} has no docstring", hint="say in its first line what it computes")
        parameters, _ = parameters_of(factory, self.plugins)
        untyped = [name for name, parameter in parameters.items() if parameter.annotation is None]
        if untyped:
            raise Finding(f"{self.label}: no type is given for {_listed(untyped)}", hint="annotate every parameter")
        silent = [p.name for p in parameters.values() if _is_choice(p) and not re.search(rf"\b{p.name}\b", text)]
        if silent:
            raise Finding(
                f"{self.label}: the docstring does not explain {_listed(silent)}",
                hint="Args:\n    name: what it is, its unit and range.",
            )

    def exercise(self) -> None:
        """Use the component as a study does; by default once on every example that it works on."""
        if type(self).try_on is Conformance.try_on:
            skip("checks of its kind do not use it on example data")
        for example in self.fitting():
            self.try_on(example)

    def test_leaves_the_process_alone(self) -> None:
        """It seeds no generator, and changes no setting, function or folder of the process; nothing is printed."""
        import contextlib
        import io

        from lab.registry.intact import process_unchanged
        from lab.testing.probe import no_seeding

        printed = io.StringIO()
        try:
            with process_unchanged(self.label), no_seeding(self.label), contextlib.redirect_stdout(printed):
                self.exercise()
        except PluginError as error:
            raise Finding(str(error), hint="what it changes is changed for every other component, too") from error
        if printed.getvalue():
            line = printed.getvalue().splitlines()[0]
            raise Finding(f"{self.label} prints: {line}", hint="use learner.say(...) or logging; stdout is for answers")

    def test_plugin_is_imported_quickly(self) -> None:
        """The module of its plugin, which every command imports, takes less than half a second."""
        plugins = self.plugins.plugins.values()
        plugin = next((each for each in plugins if str(each) == self.resolved.plugin), None)
        if plugin is not None and plugin.seconds > SLOW_S and not plugin.is_builtin:
            raise Finding(
                f"the import of {plugin} takes {plugin.seconds:.1f} s",
                hint="plugin.py holds hooks only; give components as 'module:attribute'",
            )


def _is_choice(parameter: Parameter) -> bool:
    return not parameter.is_required


def _listed(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _documentation(factory: Any) -> str:
    """Return the docstring of a function, or of a class and its bases, with those that it refers to by name."""
    if not isinstance(factory, type):
        text = factory.__doc__ or ""
    else:
        own = [owner for owner in factory.__mro__ if not owner.__module__.startswith(_NOT_OURS)]
        parts = [part for owner in own for part in (owner, vars(owner).get("__init__"))]
        text = "\n".join(filter(None, (vars(p).get("__doc__") or getattr(p, "__doc__", "") for p in parts if p)))
        # A subclass inherits its base's docstring, which says nothing of the subclass.
        if not vars(factory).get("__doc__"):
            return ""
    scope = getattr(inspect.getmodule(factory), "__dict__", {})
    # Presets of one class share the text of their parameters.
    referred = re.findall(r"(?:those of|as for|see) ``(\w+)``", text)
    return "\n".join([text, *(inspect.getdoc(scope[name]) or "" for name in referred if name in scope)])


def _skipped(_: Conformance, reason: str) -> None:
    skip(reason)


_NOT_OURS = ("builtins", "torch.", "abc", "typing", "collections")


@attrs.frozen
class ComponentCase:
    """Parameters and example data for a component whose signature does not say enough.

    Attributes:
        component: the component with parameters that the example data need; None takes it as it is.
        examples: names of the example data that it is meant for; empty for all that it works on.
        exceptions: check → why it does not apply to this component; it is skipped.
    """

    component: Reference = None
    examples: tuple[str, ...] = ()
    exceptions: Mapping[str, str] = attrs.field(factory=dict)


Protocol = Callable[[nn.Module, Example, Any], None]


@attrs.frozen
class ConformanceSupport:
    """A plugin's part of the conformance kit; the hook ``lab_conformance`` names a function that returns it.

    Attributes:
        examples: name → class or function that returns an ``Example``.
        kinds: registry → the ``Conformance`` class that checks its components, for registries that the plugin opened.
        cases: ``"kind.name"``, for example ``"callbacks.multistep"`` → how that component is tried.
        protocols: name of example data → function of a model, the example and a batch, which raises an error unless the
            model keeps the protocol of its family, such as decoding step by step. Several plugins may name the same
            example; the model is in evaluation mode.
    """

    examples: Mapping[str, Callable[[], Example]] = attrs.field(factory=dict)
    kinds: Mapping[str, type[Conformance]] = attrs.field(factory=dict)
    cases: Mapping[str, ComponentCase] = attrs.field(factory=dict)
    protocols: Mapping[str, Protocol] = attrs.field(factory=dict)


@attrs.frozen(eq=False)
class Kit:
    """The parts of all plugins together, as in ``ConformanceSupport``, with the example data made."""

    examples: dict[str, Example] = attrs.field(factory=dict)
    kinds: dict[str, type[Conformance]] = attrs.field(factory=dict)
    cases: dict[str, ComponentCase] = attrs.field(factory=dict)
    protocols: dict[str, list[Protocol]] = attrs.field(factory=dict)


_TRIED: WeakKeyDictionary[type[Conformance], tuple[list[Example], list[str]]] = WeakKeyDictionary()
_KITS: WeakKeyDictionary[Catalog, Kit] = WeakKeyDictionary()


def kit_of(catalog: Catalog) -> Kit:
    """Return what the plugins of a catalog add to the kit, collected once.

    Raises:
        LabError: a plugin's hook names something else than a function that returns a ``ConformanceSupport``.
    """
    if catalog not in _KITS:
        kit = Kit()
        # A path, so that plugins name their examples without importing torch.
        for plugin, path in catalog.call("lab_conformance"):
            try:
                support, examples = _support(path)
            except Exception as error:
                # The kit of the other plugins works without it; those of lab must be whole.
                if plugin.is_builtin or catalog.strict:
                    raise
                catalog.warn(f"lab: plugin {plugin} adds nothing to the conformance kit\n  {describe_error(error)}")
                continue
            kit.examples.update(examples)
            kit.kinds.update(support.kinds)
            kit.cases.update(support.cases)
            for name, protocol in support.protocols.items():
                kit.protocols.setdefault(name, []).append(protocol)
        _KITS[catalog] = kit
    return _KITS[catalog]


def _support(path: Any) -> tuple[ConformanceSupport, dict[str, Example]]:
    """Return what a plugin's hook names, with the example data made.

    Raises:
        LabError: it is something else than a function that returns a ``ConformanceSupport``.
    """
    given = load_object(path, "lab_conformance") if isinstance(path, str) else path
    support = given if isinstance(given, ConformanceSupport) else given()
    if not isinstance(support, ConformanceSupport):
        raise LabError(f"lab_conformance must name a function that returns a ConformanceSupport, not {support!r}")
    examples = {name: make() for name, make in support.examples.items()}
    for name, example in examples.items():
        # Messages name an example as the plugin registered it.
        example.name = name
    return support, examples


def skip(reason: str) -> NoReturn:
    """Skip the check: it does not apply to this component."""
    raise NotApplicable(reason)
