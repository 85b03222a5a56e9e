from __future__ import annotations

import inspect
import subprocess
import sys

import pytest
from lab_attention import plugin

from lab.registry.plugins import Catalog
from lab.registry.resolve import Resolver

NAMES = [(kind, name) for kind in ("attentions", "positions") for name in getattr(plugin, f"lab_{kind}")()]


@pytest.mark.parametrize(("kind", "name"), NAMES)
def test_every_component_resolves_with_its_defaults_and_is_documented(kind: str, name: str) -> None:
    catalog = Catalog(strict=True)
    catalog.add_module(plugin, "lab_attention", "0.1.0")
    resolver = Resolver(catalog)
    component = resolver.resolve(kind, name)
    assert resolver.problems == []
    assert component.to_json()["plugin"] == "lab_attention 0.1.0"
    assert inspect.getdoc(component.factory)


def test_the_plugin_itself_imports_nothing_heavy() -> None:
    code = (
        "import sys; import lab_attention.plugin as p; [getattr(p, n)() for n in dir(p) if n.startswith('lab_')];"
        "print([n for n in ('torch', 'numpy') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
