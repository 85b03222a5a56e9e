"""Every built-in component keeps its contract: the conformance kit over the registries."""

from __future__ import annotations

import pytest

from lab.registry.plugins import load_catalog
from lab.registry.registry import Entry
from lab.testing import Conformance, conformance_of

CATALOG = load_catalog()
ENTRIES = [e for registry in CATALOG.registries.values() for e in registry.entries() if e.plugin.is_builtin]


def _checks() -> list[object]:
    found = []
    for entry in ENTRIES:
        kind = conformance_of(entry, CATALOG)
        found += [pytest.param(kind, name, id=f"{entry.kind}.{entry.name}: {_words(name)}") for name in kind.checks()]
    return found


def _words(name: str) -> str:
    return name.removeprefix("test_").replace("_", " ")


@pytest.mark.parametrize(("kind", "check"), _checks())
def test_built_in_component_keeps_its_contract(kind: type[Conformance], check: str) -> None:
    getattr(kind(), check)()


def test_every_registry_of_a_built_in_plugin_has_components() -> None:
    kinds = {entry.kind for entry in ENTRIES}
    assert kinds == set(CATALOG.registries)


def _by_name(entry: Entry) -> str:
    return entry.name
