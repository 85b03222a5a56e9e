"""Former names of components and parameters: records written before a rename stay readable."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.registry.plugins import Catalog

__all__ = ["with_current_names"]


def with_current_names(record: Mapping[str, Any], catalog: Catalog) -> dict[str, Any]:
    """Return the content of ``experiment.json`` with the current names of components and parameters.

    Plugins list their former names with the hook ``lab_former_names``.
    """
    names = {plugin.name: table for plugin, table in catalog.call("lab_former_names", lambda hook, table: dict(table))}
    renamed: dict[str, Any] = _renamed(record, names)
    return renamed


def _renamed(value: Any, names: Mapping[str, Mapping[str, str]]) -> Any:
    if isinstance(value, list):
        return [_renamed(item, names) for item in value]
    if not isinstance(value, Mapping):
        return value
    value = {name: _renamed(item, names) for name, item in value.items()}
    component, params = value.get("component"), value.get("params")
    # a record says "name version"; former names are per plugin, since two plugins may use one name
    table = names.get(str(value.get("plugin")).partition(" ")[0])
    if table and isinstance(component, str) and isinstance(params, dict):
        params = {table.get(f"{component}.{name}", name): item for name, item in params.items()}
        value |= {"component": table.get(component, component), "params": params}
        if isinstance(types := value.get("types"), dict):
            value["types"] = {_renamed_place(place, component, table): tag for place, tag in types.items()}
    return value


def _renamed_place(place: str, component: str, table: Mapping[str, str]) -> str:
    """Return the place of a parameter's value, ``size/0``, with the parameter's current name."""
    name, slash, inside = place.partition("/")
    return table.get(f"{component}.{name}", name) + slash + inside
