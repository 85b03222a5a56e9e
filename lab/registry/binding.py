"""Binding: a reference becomes a complete component, and a complete component becomes an object.

One rule binds parameters, for every kind: a parameter *without* a default is filled from the data's facts of the same
name (or is ``data`` itself); a parameter *with* a default is the researcher's. A parameter annotated with a registry's
contract is itself a component; annotated ``Callable[..., Contract]`` it arrives as a factory, which the parent calls.
"""

from __future__ import annotations

import builtins
import inspect
import itertools
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import attrs

from lab.errors import LabError, ParameterError, PluginError, UnknownNameError
from lab.registry.component import Preset, Reference, Use, as_use
from lab.registry.definition import origin_of
from lab.registry.plugins import Catalog
from lab.registry.registry import Entry, Registry, close_matches
from lab.registry.values import check_value, describe_type, parse_text, to_plain

__all__ = [
    "Component",
    "Parameter",
    "Resolver",
    "Text",
    "change_in_list",
    "follow_presets",
    "inner_of",
    "parameters_of",
    "read_reference",
    "resolve_annotation",
    "scope_of",
    "signature_text",
]


CALLED_POSITIONALLY = {"losses": 2, "optimizers": 1}
"""How many arguments the caller gives by position, whatever the factory calls them."""


SEED_BITS = 32
"""Of seeds of components: what the oldest of NumPy's generators takes."""

CLOSING = {"(": ")", "[": "]", "{": "}"}


class Text(str):
    """A value as written on a command line, still to be read by its parameter's annotation."""


@attrs.frozen
class Parameter:
    """One parameter of a factory.

    Attributes:
        name: its name.
        annotation: its type, or None where it has none that can be resolved.
        default: its default, or ``Parameter.REQUIRED``.
        registry: the registry whose contract the annotation names, or None.
        as_factory: whether the component arrives as a factory.
        is_list: whether the annotation asks for several components.
    """

    REQUIRED: typing.ClassVar[Any] = inspect.Parameter.empty

    name: str
    annotation: Any
    default: Any
    registry: Registry | None = None
    as_factory: bool = False
    is_list: bool = False

    @property
    def is_required(self) -> bool:
        """Whether it has no default: a need, not a choice."""
        return self.default is Parameter.REQUIRED

    def __str__(self) -> str:
        kind = f": {describe_type(self.annotation)}" if self.annotation is not None else ""
        return self.name + kind + ("" if self.is_required else f" = {self.default!r}")


@attrs.frozen(eq=False)
class Component:
    """A component with every choice made: what a name in an experiment stands for.

    Attributes:
        kind: its registry.
        name: its registered name (of a preset, the name of what it presets), or where a class of one's own is from.
        plugin: who supplies it, ``"lab_seq2seq 0.1.0"``, or ``"local"``.
        factory: the class or function.
        params: every parameter that has a value; nested components are Components.
        needs: names of parameters that the caller or the data must fill.
        registry: the registry it belongs to.
        alias: the name that the researcher used: a preset's own name.
    """

    kind: str
    name: str
    plugin: str
    factory: Callable[..., Any]
    params: Mapping[str, Any]
    needs: tuple[str, ...]
    registry: Registry
    alias: str

    @property
    def label(self) -> str:
        """How messages name it: ``architecture 'seq2seq_rnn' (lab_seq2seq 0.1.0)``."""
        return f"{self.registry.spec.singular} '{self.name.partition('#')[0]}' ({self.plugin})"

    @property
    def open_needs(self) -> list[str]:
        """Needs that the data must fill: those that the caller of this kind does not supply."""
        called_positionally = CALLED_POSITIONALLY.get(self.kind, 0)
        if self.kind == "losses" and isinstance(self.factory, type):
            called_positionally = 0
        return [name for name in self.needs[called_positionally:] if name not in self.registry.spec.given]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON of the whole component."""
        return {"component": self.name, "plugin": self.plugin, "params": {k: _plain(v) for k, v in self.params.items()}}

    def walk(self) -> Iterable[Component]:
        """This component and every component inside it, whoever builds it."""
        yield self
        for item in self._inner():
            yield from (item.component if isinstance(item, Factory) else item).walk()

    def walk_built(self) -> Iterable[Component]:
        """This component and those inside it that are built with it; not those that it builds itself."""
        yield self
        for item in self._inner():
            if isinstance(item, Component):
                yield from item.walk_built()

    def _inner(self) -> list[Component | Factory]:
        values = [item for value in self.params.values() for item in (value if isinstance(value, list) else [value])]
        return [item for item in values if isinstance(item, (Component, Factory))]

    def build(self, facts: Mapping[str, Any], **given: Any) -> Any:
        """Call the factory: ``given`` by the caller, needs from ``facts``, the rest as chosen."""
        filled = {name: facts[name] for name in self.needs if name in facts and name not in given}
        return self.factory(**filled, **self.arguments(facts), **given)

    def partial(self, facts: Mapping[str, Any]) -> Callable[..., Any]:
        """The factory with the chosen parameters, and with the needs that ``facts`` fill; the rest is the caller's."""
        filled = {name: facts[name] for name in self.open_needs if name in facts}
        return partial(self.factory, **filled, **self.arguments(facts))

    def arguments(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """The chosen parameters, nested components built."""
        return {name: _argument(value, facts) for name, value in self.params.items()}


@attrs.frozen
class Factory:
    """A nested component that its parent calls itself."""

    component: Component

    def to_json(self) -> dict[str, Any]:
        """Plain JSON of the component."""
        return self.component.to_json()


def _argument(value: Any, facts: Mapping[str, Any]) -> Any:
    if isinstance(value, list):
        return [_argument(item, facts) for item in value]
    if isinstance(value, Component):
        return value.build(facts)
    if isinstance(value, Factory):
        return partial(value.component.factory, **value.component.arguments(facts))
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, (Component, Factory)):
        return value.to_json()
    if isinstance(value, list):
        return [_plain(item) for item in value]
    try:
        return to_plain(value)
    except TypeError:  # a default of its own, which its source describes
        return f"a {type(value).__qualname__}"


def parameters_of(factory: Callable[..., Any], catalog: Catalog) -> tuple[dict[str, Parameter], bool]:
    """The parameters of a factory by name, and whether it takes any others (``**options``).

    Raises:
        ParameterError: the factory has no readable signature.
    """
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError) as error:
        raise ParameterError(f"{factory!r} has no signature that can be read", hint=str(error)) from error
    scope = scope_of(factory)
    found: dict[str, Parameter] = {}
    is_open = False
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            is_open = True
        elif parameter.kind is not parameter.VAR_POSITIONAL:
            found[parameter.name] = _parameter(parameter, scope, catalog)
    return found, is_open


def _parameter(parameter: inspect.Parameter, scope: dict[str, Any], catalog: Catalog) -> Parameter:
    annotation = resolve_annotation(parameter.annotation, scope)
    registry, as_factory, is_list = _contract(annotation, catalog)
    return Parameter(parameter.name, annotation, parameter.default, registry, as_factory, is_list)


def scope_of(factory: Callable[..., Any]) -> dict[str, Any]:
    """The names that the annotations of a factory may use."""
    function: Any = vars(factory).get("__init__", factory.__init__) if isinstance(factory, type) else factory  # type: ignore[misc]
    function = inspect.unwrap(function)
    function = getattr(function, "func", function)
    return {
        **vars(builtins),
        **getattr(function, "__globals__", {}),
        **vars(sys.modules.get(factory.__module__, builtins)),
    }


def resolve_annotation(annotation: Any, scope: dict[str, Any]) -> Any:
    """An annotation as an object; as its text where it names what is not imported; None where there is none."""
    if annotation is inspect.Parameter.empty:
        return None
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, scope)
    except Exception:
        return annotation


def _contract(annotation: Any, catalog: Catalog) -> tuple[Registry | None, bool, bool]:
    """The registry whose contract stands in an annotation, whether as a factory, whether as a list."""
    for kind in _alternatives(annotation):
        for registry in catalog.registries.values():
            if registry.spec.accepts(kind):
                return registry, False, False
            if typing.get_origin(kind) is Callable or typing.get_origin(kind) is typing.get_origin(
                typing.Callable[..., Any]
            ):
                returned = typing.get_args(kind)[-1:]
                if returned and registry.spec.accepts(returned[0]):
                    return registry, True, False
            if typing.get_origin(kind) in (list, tuple, Sequence) and any(
                map(registry.spec.accepts, typing.get_args(kind))
            ):
                return registry, False, True
    return None, False, False


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        return typing.get_args(annotation)
    return (annotation,)


def signature_text(name: str, parameters: Mapping[str, Parameter]) -> str:
    """A signature in one line, as messages and ``lab show`` print it."""
    required = [str(parameter) for parameter in parameters.values() if parameter.is_required]
    chosen = [str(parameter) for parameter in parameters.values() if not parameter.is_required]
    return f"{name}({', '.join([*required, *(['*'] if chosen else []), *chosen])})"


def change(catalog: Catalog, kind: str, reference: Reference, path: Sequence[str], value: Any) -> Use:
    """The reference with one parameter changed, ``path`` leading through nested components.

    Raises:
        ParameterError: the path leads through something that is not a component.
    """
    chosen, head = read_reference(reference), path[0]
    if len(path) == 1:
        return chosen.with_param(head, value)
    registry = catalog.registry(kind)
    target, plugin, params = Resolver(catalog).follow(registry, chosen)
    parameters, _ = parameters_of(target, catalog)
    label = f"{registry.spec.singular} '{chosen.name}' ({plugin})"
    if head not in parameters:
        close = close_matches(head, parameters)
        hint = (
            f"did you mean: {' or '.join(close)}?" if close else f"signature: {signature_text(chosen.name, parameters)}"
        )
        raise ParameterError(f"{label}: unexpected parameter '{head}'", hint=hint)
    inner_registry, inner = parameters[head].registry, params.get(head, parameters[head].default)
    if inner_registry is None or inner is None or inner is Parameter.REQUIRED:
        described = "not given" if inner is Parameter.REQUIRED else repr(inner)
        raise ParameterError(f"{label}: '{head}' is {described}, no component, so it has no '{'.'.join(path[1:])}'")
    if isinstance(inner, (list, tuple)):
        return chosen.with_param(head, change_in_list(catalog, inner_registry.spec.name, inner, path[1:], value))
    return chosen.with_param(head, change(catalog, inner_registry.spec.name, inner, path[1:], value))


def change_in_list(
    catalog: Catalog, kind: str, references: Sequence[Reference], path: Sequence[str], value: Any
) -> list[Reference]:
    """Several components with one of them, named by the first step of ``path``, changed, replaced or (None) removed.

    Raises:
        UnknownNameError: none of them is called so.
    """
    names = [read_reference(item).name for item in references]
    if path[0] not in names:
        close = close_matches(path[0], names)
        hint = f"did you mean: {' or '.join(close)}?" if close else f"{kind} there: {', '.join(names) or 'none'}"
        raise UnknownNameError(f"no {catalog.registry(kind).spec.singular} here is called '{path[0]}'", hint=hint)
    items, index = list(references), names.index(path[0])
    if len(path) > 1:
        items[index] = change(catalog, kind, items[index], path[1:], value)
        return items
    value = read_component_text(value) if isinstance(value, Text) else value
    items[index : index + 1] = value if isinstance(value, (list, tuple)) else [] if value is None else [value]
    return items


def inner_of(registry: Registry, factory: Callable[..., Any], catalog: Catalog) -> str | None:
    """The parameter through which a component is made around another of its own kind, or None where it is not."""
    parameters, _ = parameters_of(factory, catalog)
    return next((name for name, parameter in parameters.items() if parameter.registry is registry), None)


def follow_presets(registry: Registry, chosen: Use) -> tuple[Entry, dict[str, Any]]:
    """The entry that a name stands for in the end, and the parameters of the presets on the way, then ``chosen``'s.

    Raises:
        PluginError: a preset of something that is not there, or presets that stand for each other.
    """
    entry, params = registry[str(chosen.target)], dict(chosen.params)
    seen = [entry]
    while isinstance(entry.target, Preset):
        params = {**entry.target.params, **params}
        try:
            inner = registry[str(entry.target.target)]
        except UnknownNameError as error:
            raise PluginError(f"{entry.label} is a preset of an {error.what}", hint=error.hint) from error
        if inner in seen:
            names = " → ".join(e.name for e in (*seen, inner))
            raise PluginError(f"{entry.label} is a preset of itself: {names}")
        seen.append(inner)
        entry = inner
    return entry, params


class Resolver:
    """Makes references complete against a catalog, gathering every problem instead of stopping at the first.

    Args:
        catalog: the registries.
    """

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.problems: list[str] = []

    def resolve(self, kind: str, reference: Reference) -> Component | None:
        """The complete component, or None where it has problems (which are then in ``problems``)."""
        try:
            return self._component(self.catalog.registry(kind), reference)
        except LabError as error:
            self.problems.append(str(error))
        return None

    def _component(self, registry: Registry, reference: Reference) -> Component | None:
        try:
            chosen = read_reference(reference)
        except TypeError as error:
            raise ParameterError(f"{registry.spec.singular}: {error}") from None
        target, plugin, params = self.follow(registry, chosen)
        factory = target if callable(target) else None
        if factory is None:
            raise ParameterError(f"{registry.spec.singular} '{chosen.name}' ({plugin}) is not callable: {target!r}")
        parameters, is_open = parameters_of(factory, self.catalog)
        try:
            name = self._name(registry, chosen)
        except TypeError as error:
            raise ParameterError(f"{registry.spec.singular}: {error}") from None
        label = f"{registry.spec.singular} '{name.partition('#')[0]}' ({plugin})"
        before = len(self.problems)
        values = self._values(label, name, params, parameters, is_open)
        if len(self.problems) > before:
            return None
        needs = tuple(p.name for p in parameters.values() if p.is_required and p.name not in values)
        alias = chosen.name.rpartition(":")[2]
        return Component(registry.spec.name, name, plugin, factory, values, needs, registry, alias)

    def follow(self, registry: Registry, chosen: Use) -> tuple[Any, str, dict[str, Any]]:
        """Through presets to the object itself: (object, plugin, parameters of presets and then the researcher's)."""
        if not isinstance(chosen.target, str):
            return chosen.target, "local", dict(chosen.params)
        entry, params = follow_presets(registry, chosen)
        with nullcontext() if entry.is_loaded else self.catalog.guard(entry.label):
            target = entry.load()
        return target, "local" if entry.plugin.is_local else str(entry.plugin), params

    def _name(self, registry: Registry, chosen: Use) -> str:
        if not isinstance(chosen.target, str):
            return origin_of(chosen.target)
        entry, _ = follow_presets(registry, chosen)
        return origin_of(entry.load()) if entry.plugin.is_local else entry.name

    def _values(
        self, label: str, name: str, params: Mapping[str, Any], parameters: Mapping[str, Parameter], is_open: bool
    ) -> dict[str, Any]:
        for unknown in [param for param in params if param not in parameters and not is_open]:
            close = close_matches(unknown, parameters)
            hint = f"did you mean: {' or '.join(close)}?\n" if close else ""
            text = signature_text(name, parameters)
            self.problems.append(
                str(ParameterError(f"{label}: unexpected parameter '{unknown}'", hint=f"{hint}signature: {text}"))
            )
        values: dict[str, Any] = {}
        for parameter in parameters.values():
            if parameter.name in params:
                values[parameter.name] = self._value(label, parameter, params[parameter.name])
            elif not parameter.is_required:
                values[parameter.name] = self._default(label, parameter)
        extra = {key: value for key, value in params.items() if key not in parameters} if is_open else {}
        return values | {key: self._value(label, Parameter(key, None, None), value) for key, value in extra.items()}

    def _default(self, label: str, parameter: Parameter) -> Any:
        """The default as it would be if it had been chosen, so that choosing it changes no key."""
        if parameter.registry is not None and not isinstance(parameter.default, (list, tuple, type(None))):
            return self._value(label, parameter, parameter.default)
        try:
            return check_value(parameter.default, parameter.annotation)
        except TypeError:  # a default may be a marker that its own annotation does not admit
            return parameter.default

    def _value(self, label: str, parameter: Parameter, value: Any) -> Any:
        try:
            if parameter.registry is not None:
                return self._nested(label, parameter, value)
            if isinstance(value, Use):
                raise TypeError(f"is not a component but {describe_type(parameter.annotation)}")
            read = parse_text if isinstance(value, Text) else check_value
            value = read(value, parameter.annotation)
            to_plain(value)
            _check_seed(parameter.name, value)
            return value
        except TypeError as error:
            self.problems.append(f"{label}: parameter '{parameter.name}' {error}")
        except LabError as error:
            self.problems.append(f"{label}: parameter '{parameter.name}': {error}")
        return None

    def _nested(self, label: str, parameter: Parameter, value: Any) -> Any:
        assert parameter.registry is not None
        if isinstance(value, Text):
            value = read_component_text(value)
        if value is None:
            return check_value(value, parameter.annotation)
        if parameter.is_list:
            items = value if isinstance(value, (list, tuple)) else [value]
            return [self._component(parameter.registry, item) for item in items]
        component = self._component(parameter.registry, value)
        return Factory(component) if parameter.as_factory and component is not None else component


def _check_seed(name: str, value: Any) -> None:
    """Refuse a seed that NumPy's generators, which take no negative ones, or torch's would refuse in their own words.

    Raises:
        TypeError: the value of a parameter called ``seed`` or ``..._seed`` is out of range.
    """
    is_seed = (name == "seed" or name.endswith("_seed")) and isinstance(value, int)
    if is_seed and not 0 <= value < 2**SEED_BITS:
        raise TypeError(f"must be a seed from 0 to 2^{SEED_BITS} - 1, not {value if value < 0 else 'a larger number'}")


def read_reference(reference: Reference) -> Use:
    """A reference as ``Use``, however it is written."""
    if isinstance(reference, Text):
        reference = read_component_text(reference)
    return as_use(reference)


def read_component_text(text: str) -> Any:
    """A component as written on a command line: ``name``, ``none``, ``name(width=8)`` or a list of them.

    Its parameters stay text until their annotations are known.

    >>> read_component_text("additive(width=8)")
    use('additive', width='8')
    >>> read_component_text("adam")
    'adam'
    >>> read_component_text("table(path=d/a.csv)")
    use('table', path='d/a.csv')

    Raises:
        ParameterError: a bracket or a quote is not closed, or a parameter has no name.
    """
    text = text.strip()
    if text.lower() in ("none", "null"):
        return None
    if (quoted := _unquoted(text)) is not None:
        return quoted
    items = _split(text)
    if len(items) > 1:
        return [read_component_text(item) for item in items if item]
    if text[:1] in ("[", "(") and _closes_at_end(text):
        return [read_component_text(item) for item in _split(text[1:-1]) if item]
    name, bracket, _ = text.partition("(")
    if not bracket:
        return str(text)
    if not _closes_at_end(text[len(name) :]) or not name.strip():
        raise _unreadable(text, "write NAME(PARAMETER=VALUE, ...)")
    params = [_read_param(item, text) for item in _split(text[len(name) + 1 : -1]) if item]
    if len(dict(params)) < len(params):
        raise _unreadable(text, "a parameter stands there twice")
    return Use(name.strip(), dict(params))


def _read_param(item: str, text: str) -> tuple[str, Any]:
    name, equals, value = (part.strip() for part in item.partition("="))
    if not equals or not name.isidentifier():
        raise _unreadable(text, f"'{item}' is not PARAMETER=VALUE")
    quoted = _unquoted(value)
    return name, Text(value) if quoted is None else quoted


def _unreadable(text: str, why: str) -> ParameterError:
    hint = "put a value that holds commas, brackets or quotes in quotes: table(path='a, b.csv')"
    return ParameterError(f"cannot read '{text}': {why}", hint=hint)


def _unquoted(text: str) -> str | None:
    """Return what stands between the quotes of a text that is quoted as a whole, or None."""
    import ast

    if text[:1] not in ("'", '"'):
        return None
    try:
        read = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return None
    return read if isinstance(read, str) else None


def _closes_at_end(text: str) -> bool:
    """Return whether the bracket that a text begins with is closed by its last character."""
    return text[-1:] in (")", "]") and [depth for _, depth in _depths(text)].index(0) == len(text) - 1


def _split(text: str) -> list[str]:
    """The parts between commas that stand in no brackets and in no quotes.

    Raises:
        ParameterError: a bracket or a quote is not closed.
    """
    cuts = [-1, *(index for index, (sign, depth) in enumerate(_depths(text)) if sign == "," and not depth), len(text)]
    return [text[start + 1 : end].strip() for start, end in itertools.pairwise(cuts)]


def _depths(text: str) -> list[tuple[str, int]]:
    """Every character with the number of brackets and quotes that are open after it."""
    open_brackets: list[str] = []
    quote, found = "", []
    for sign in text:
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        elif sign in "([{":
            open_brackets.append(CLOSING[sign])
        elif sign in ")]}" and (not open_brackets or open_brackets.pop() != sign):
            raise _unreadable(text, f"'{sign}' closes nothing")
        found.append((sign, len(open_brackets) + bool(quote)))
    if open_brackets or quote:
        raise _unreadable(text, "a quote is not closed" if quote else f"'{open_brackets[-1]}' is missing")
    return found
