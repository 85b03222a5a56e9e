"""JSON for scripts: ``--format json``, and what the kernel's own commands print with it."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from lab.cli.summaries import summary_of

if TYPE_CHECKING:
    from lab.registry.plugins import Catalog
    from lab.registry.registry import Entry, Registry
    from lab.registry.signature import Parameter

__all__ = [
    "components_document",
    "dump",
    "format_option",
    "list_document",
    "plugins_document",
]

Command = TypeVar("Command", bound=Callable[..., Any])

LIST = "lab.list/1"
SHOW = "lab.show/1"
PLUGINS = "lab.plugins/1"


def format_option(schema: str) -> Callable[[Command], Command]:
    """Return the option ``--format`` of a command whose JSON is of ``schema``."""
    return click.option(
        "--format",
        "layout",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help=f"Text, or a document of the schema {schema}.",
    )


def dump(document: Mapping[str, Any]) -> str:
    """Return a document as text.

    Raises:
        ValueError: it holds a number that JSON does not have.
    """
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)


def list_document(registries: Sequence[Registry]) -> dict[str, Any]:
    """Return what ``lab list`` shows; no component is imported."""
    from lab.registry.component import Preset

    return {
        "schema": LIST,
        "kinds": [
            {
                "kind": registry.spec.name,
                "singular": registry.spec.singular,
                "about": registry.spec.doc,
                "components": [
                    {**_origin(entry), "summary": "" if isinstance(entry.target, Preset) else summary_of(entry)}
                    for entry in registry.entries()
                ],
            }
            for registry in registries
        ],
    }


def _origin(entry: Entry) -> dict[str, Any]:
    from lab.registry.component import Preset

    return {
        "name": entry.name,
        "plugin": entry.plugin.name,
        "version": entry.plugin.version,
        "package": entry.plugin.distribution,
        "preset": repr(entry.target) if isinstance(entry.target, Preset) else None,
    }


def components_document(entries: Sequence[Entry], catalog: Catalog, study: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what ``lab show`` shows: components, or a study; of a preset, what it stands for."""
    return {"schema": SHOW, "components": [_component(entry, catalog) for entry in entries], "study": study}


def _component(entry: Entry, catalog: Catalog) -> dict[str, Any]:
    from lab.registry.component import Preset, Use
    from lab.registry.resolve import follow_presets
    from lab.registry.signature import parameters_of

    inner = entry
    if isinstance(entry.target, Preset):
        inner, _ = follow_presets(catalog.registries[entry.kind], Use(entry.qualified_name))
    factory = inner.load()
    parameters, is_open = parameters_of(factory, catalog)
    plain = inspect.unwrap(factory)
    try:
        file, line = inspect.getsourcefile(plain), inspect.getsourcelines(plain)[1]
    except (TypeError, OSError):
        file, line = None, None
    return {
        "kind": entry.kind,
        **_origin(entry),
        "file": file,
        "line": line,
        "parameters": [_parameter(parameter) for parameter in parameters.values()],
        "takes_any": is_open,
        "about": inspect.getdoc(factory) or "",
    }


def _parameter(parameter: Parameter) -> dict[str, Any]:
    from lab.registry.values import describe_type

    return {
        "name": parameter.name,
        "type": None if parameter.annotation is None else describe_type(parameter.annotation),
        "default": None if parameter.is_required else repr(parameter.default),
        "required": parameter.is_required,
        "kind": None if parameter.registry is None else parameter.registry.spec.name,
    }


def plugins_document(catalog: Catalog) -> dict[str, Any]:
    """Return what ``lab plugins`` shows."""
    return {
        "schema": PLUGINS,
        "plugins": [
            {
                "name": plugin.name,
                "version": plugin.version,
                "package": plugin.distribution,
                "status": plugin.status,
                "cause": plugin.cause or None,
                "seconds": plugin.seconds,
                "provides": {kind: list(names) for kind, names in plugin.provides.items()},
            }
            for plugin in catalog.plugins.values()
        ],
    }
