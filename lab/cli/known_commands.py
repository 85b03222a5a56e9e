"""What commands plugins add, remembered from the last time they were imported, so that ``lab --help`` imports none.

The memory is one JSON file in the cache directory: for the file of every plugin its time of change, its size, and what
its ``lab_commands`` gave. It is believed only if it knows every installed plugin as it is now; otherwise all are
imported, as for any other command, and what was learnt is kept. A plugin that cannot be loaded, or that gives commands
as objects, is never remembered, and nothing is while there is anything to complain of; so no complaint is silenced.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lab.cache import cache_folder, read_cache, write_cache
from lab.registry.discovery import EntryPoint, find_entry_points
from lab.registry.plugins import GROUP, Catalog
from lab.registry.registry import Plugin

__all__ = ["collect_commands", "recall_commands"]

SWITCHES = ("LAB_DISABLE_PLUGINS", "LAB_DISABLE_THIRD_PARTY")

Owned = dict[str, tuple[Plugin, Any]]


def recall_commands(taken: Iterable[str]) -> Owned | None:
    """Name → (plugin, "module:command") of every installed plugin without importing one; None where one is not known.

    Args:
        taken: names of the kernel's own commands.
    """
    if any(os.environ.get(switch) for switch in SWITCHES):
        return None
    memory, names = _read(), set(taken)
    found: Owned = {}
    for point in find_entry_points(GROUP):
        commands = _recall(memory, point)
        if commands is None or not names.isdisjoint(commands):
            return None
        names |= commands.keys()
        plugin = Plugin(point.name, point.distribution, point.version)
        found |= {name: (plugin, target) for name, target in commands.items()}
    return found


def collect_commands(catalog: Catalog, taken: Iterable[str]) -> Owned:
    """Name → (plugin, command) of a loaded catalog's plugins; remembered where there was nothing to complain of."""
    complaints: list[str] = []
    warn, catalog.warn = catalog.warn, complaints.append
    try:
        found = catalog.collect_owned("lab_commands", taken=taken)
    finally:
        catalog.warn = warn
    for complaint in complaints:
        warn(complaint)
    if not complaints:
        _remember(catalog, found)
    return found


def _remember(catalog: Catalog, commands: Owned) -> None:
    memory = {path: item for path, item in _read().items() if _stamp(path) == item.get("stamp")}
    for point in find_entry_points(GROUP):
        path, plugin = _file_of(point), catalog.plugins.get(point.name)
        if path is None or plugin is None or (plugin.status, plugin.distribution) != ("loaded", point.distribution):
            continue
        given = {name: target for name, (owner, target) in commands.items() if owner is plugin}
        if all(
            isinstance(part, str)
            for target in given.values()
            for part in ([target] if isinstance(target, str) else target)
        ):
            memory[path] = {"stamp": _stamp(path), "commands": given}
    write_cache(_memory_file(), memory)


def _recall(memory: Mapping[str, Any], point: EntryPoint) -> dict[str, str] | None:
    path = _file_of(point)
    item = memory.get(path or "")
    if path is None or item is None or item.get("stamp") != _stamp(path):
        return None
    commands: dict[str, str] = item["commands"]
    return commands


def _file_of(point: EntryPoint) -> str | None:
    """The file of a plugin's module, found as the import system would, but without importing its package."""
    module = point.value.partition(":")[0].strip().replace(".", "/")
    for folder in dict.fromkeys(sys.path):
        for name in (f"{module}.py", f"{module}/__init__.py"):
            path = os.path.join(folder or ".", name)
            if os.path.isfile(path):
                return os.path.abspath(path)
    return None


def _stamp(path: str) -> list[int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return [status.st_mtime_ns, status.st_size]


def _memory_file() -> Path:
    return cache_folder() / "commands.json"


def _read() -> dict[str, dict[str, Any]]:
    return {path: item for path, item in read_cache(_memory_file()).items() if isinstance(item, dict)}
