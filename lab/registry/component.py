"""References to components, as a researcher writes them, before any name is looked up."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import attrs

__all__ = ["Preset", "Reference", "Use", "as_use", "is_definition", "plain_number", "plain_value", "preset", "use"]

Reference = Any
"""A name, a ``Use``, or a class or function: anything that may be given for a component."""


def plain_number(value: Any) -> Any:
    """Return a NumPy scalar as Python's own number, text or bool, so that both give one key; anything else as it is."""
    # Compared by name: importing NumPy here would slow down every command.
    if type(value).__module__ != "numpy" or getattr(value, "shape", None) != ():
        return value
    plain = value.item()
    return plain if isinstance(plain, (bool, int, float, str)) else value


def plain_value(value: Any) -> Any:
    """Convert NumPy scalars as ``plain_number`` does, also inside lists, tuples, dictionaries and slices."""
    kind = type(value)
    if kind in (list, tuple):
        return kind(map(plain_value, value))
    if kind is dict:
        return {name: plain_value(item) for name, item in value.items()}
    if kind is slice:
        return slice(plain_value(value.start), plain_value(value.stop), plain_value(value.step))
    return plain_number(value)


def _plain_params(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: plain_value(value) for name, value in params.items()}


@attrs.frozen(repr=False)
class Use:
    """A component with some of its parameters chosen.

    Attributes:
        target: a registered name (``"adam"`` or ``"plugin:adam"``), or a user-defined class or function.
        params: the chosen parameters; a value may itself be a component.
    """

    target: str | Callable[..., Any]
    params: Mapping[str, Any] = attrs.field(factory=dict, converter=_plain_params)

    @property
    def name(self) -> str:
        """Its name in tables and messages."""
        return self.target if isinstance(self.target, str) else getattr(self.target, "__name__", str(self.target))

    def with_param(self, name: str, value: Any) -> Use:
        """Return the component with one parameter changed."""
        return self.with_params({name: value})

    def with_params(self, params: Mapping[str, Any]) -> Use:
        """Return the component with some parameters changed."""
        return Use(self.target, {**self.params, **params})

    def __repr__(self) -> str:
        target = repr(self.target) if isinstance(self.target, str) else self.name
        return f"use({', '.join([target, *(f'{name}={value!r}' for name, value in self.params.items())])})"


class Preset(Use):
    """A registered name for another component with some of its parameters chosen."""


def use(target: str | Callable[..., Any], /, **params: Any) -> Use:
    """Refer to a component and choose parameters.

    >>> use("adam", betas=(0.8, 0.99))
    use('adam', betas=(0.8, 0.99))
    """
    return Use(target, params)


def preset(target: str, /, **params: Any) -> Preset:
    """Register a component's name with other defaults: ``"gru_512": preset("gru", hidden_size=512)``."""
    return Preset(target, params)


def as_use(reference: Reference) -> Use:
    """Return any reference as a ``Use``.

    Raises:
        TypeError: it is neither a name, a ``Use``, a class nor a function. Callable *instances* are rejected: their
            state cannot be serialized, so two of them would get the same key.
    """
    if isinstance(reference, Use):
        return reference
    # Positional arguments of a partial have no names to record.
    if isinstance(reference, partial) and not reference.args:
        return as_use(reference.func).with_params(reference.keywords)
    if isinstance(reference, str) or is_definition(reference):
        return Use(reference)
    raise TypeError(f"expected a component's name, use(...), a class or a function, not {reference!r}")


def is_definition(thing: object) -> bool:
    """Return whether ``thing`` is a class or a function, which its source describes in full."""
    return isinstance(thing, (type, types.FunctionType, types.BuiltinFunctionType, types.MethodType))
