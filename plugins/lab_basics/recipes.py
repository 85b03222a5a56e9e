"""Resolved experiments as tables of parameters, as trackers and TensorBoard show them."""

from __future__ import annotations

from typing import Any

__all__ = ["flat_recipe"]


def flat_recipe(value: Any, path: str = "") -> dict[str, bool | int | float | str]:
    """Flatten a resolved experiment to path → value; a component becomes its name, with its parameters below.

    >>> flat_recipe({"optimizer": {"component": "adam", "plugin": "p", "params": {"eps": 0.1}}, "lr": 0.5})
    {'optimizer': 'adam', 'optimizer.eps': 0.1, 'lr': 0.5}
    """
    if isinstance(value, dict) and "component" in value:
        return {path: value["component"], **flat_recipe(value["params"], path)}
    if isinstance(value, dict):
        inner = [flat_recipe(item, f"{path}.{name}" if path else name) for name, item in value.items()]
        return {name: item for items in inner for name, item in items.items()}
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        inner = [flat_recipe(item, f"{path}.{item['component']}") for item in value]
        return {name: item for items in inner for name, item in items.items()}
    return {path: value if isinstance(value, (bool, int, float, str)) else "none" if value is None else str(value)}
