"""Signatures of factories: the parameters, their types, and which of them are components."""

from __future__ import annotations

import builtins
import inspect
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from lab.errors import ParameterError
from lab.registry.plugins import Catalog
from lab.registry.registry import Registry
from lab.registry.values import describe_type

__all__ = ["Parameter", "inner_of", "parameters_of", "resolve_annotation", "scope_of", "signature_text"]


@attrs.frozen
class Parameter:
    """One parameter of a factory.

    Attributes:
        name: its name.
        annotation: its type, or None if there is none.
        default: its default, or ``Parameter.REQUIRED``.
        registry: the registry whose contract the annotation names, or None.
        as_factory: whether the component is passed as a factory.
        is_list: whether the annotation asks for several components.
    """

    REQUIRED: typing.ClassVar[Any] = inspect.Parameter.empty

    name: str
    annotation: Any = None
    default: Any = None
    registry: Registry | None = None
    as_factory: bool = False
    is_list: bool = False

    @property
    def is_required(self) -> bool:
        """True if it has no default: it is filled from the data."""
        return self.default is Parameter.REQUIRED

    def __str__(self) -> str:
        kind = f": {describe_type(self.annotation)}" if self.annotation is not None else ""
        return self.name + kind + ("" if self.is_required else f" = {self.default!r}")


def parameters_of(factory: Callable[..., Any], catalog: Catalog) -> tuple[dict[str, Parameter], bool]:
    """Return the parameters of a factory by name, and whether it takes any others (``**options``).

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
            annotation = resolve_annotation(parameter.annotation, scope)
            contract = _contract(annotation, catalog)
            found[parameter.name] = Parameter(parameter.name, annotation, parameter.default, *contract)
    return found, is_open


def scope_of(factory: Callable[..., Any]) -> dict[str, Any]:
    """Return the names that the annotations of a factory may use."""
    function: Any = vars(factory).get("__init__", factory.__init__) if isinstance(factory, type) else factory  # type: ignore[misc]
    function = inspect.unwrap(function)
    # A partial keeps its function in ``func``.
    function = getattr(function, "func", function)
    # A class may inherit __init__ from another module; both modules' names may be used.
    module = vars(sys.modules.get(factory.__module__, builtins))
    return {**vars(builtins), **getattr(function, "__globals__", {}), **module}


def resolve_annotation(annotation: Any, scope: dict[str, Any]) -> Any:
    """Return an annotation as an object; as text if it names what is not imported; None if there is none."""
    if annotation is inspect.Parameter.empty:
        return None
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, scope)
    except Exception:
        # The name is imported under TYPE_CHECKING only; as text it still serves in messages.
        return annotation


def _contract(annotation: Any, catalog: Catalog) -> tuple[Registry | None, bool, bool]:
    """Return the registry whose contract is in an annotation, whether as a factory, whether as a list."""
    # int | None and Optional[int] are of two types.
    is_union = isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union
    for kind in typing.get_args(annotation) if is_union else (annotation,):
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
        for registry in catalog.registries.values():
            accepts = registry.spec.accepts
            if accepts(kind):
                return registry, False, False
            if origin is Callable and arguments and accepts(arguments[-1]):
                return registry, True, False
            if origin in (list, tuple, Sequence) and any(map(accepts, arguments)):
                return registry, False, True
    return None, False, False


def inner_of(registry: Registry, factory: Callable[..., Any], catalog: Catalog) -> str | None:
    """Return the parameter through which a component wraps another of its own kind, or None."""
    parameters, _ = parameters_of(factory, catalog)
    return next((name for name, parameter in parameters.items() if parameter.registry is registry), None)


def signature_text(name: str, parameters: Mapping[str, Parameter]) -> str:
    """Return a signature in one line, as messages and ``lab show`` print it."""
    required = [str(parameter) for parameter in parameters.values() if parameter.is_required]
    chosen = [str(parameter) for parameter in parameters.values() if not parameter.is_required]
    return f"{name}({', '.join([*required, *(['*'] if chosen else []), *chosen])})"
