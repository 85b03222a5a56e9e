from __future__ import annotations

import inspect
import subprocess
import sys

import pytest
from lab_basics import plugin

from lab import use
from lab.registry.plugins import Catalog
from lab.registry.resolve import Resolver


@pytest.fixture(scope="module")
def catalog():
    catalog = Catalog(strict=True)
    catalog.add_module(plugin, "lab_basics", "0.1.0")
    return catalog


KINDS = ("samplers", "steppers", "optimizers", "losses", "metrics", "callbacks")
NAMES = [(kind, name) for kind in KINDS for name in getattr(plugin, f"lab_{kind}")()]


@pytest.mark.parametrize(("kind", "name"), NAMES)
def test_every_component_resolves_with_its_defaults_and_is_documented(catalog, kind, name):
    resolver = Resolver(catalog)
    component = resolver.resolve(kind, name)
    assert resolver.problems == []
    assert component.to_json()["plugin"] == "lab_basics 0.1.0"
    assert inspect.getdoc(component.factory)


@pytest.mark.parametrize(
    "name", sorted(set(plugin.lab_callbacks()) - {"multistep", "cos_anneal_course", "square_root", "torch_schedule"})
)
def test_a_callback_is_called_as_it_is_registered(catalog, name):
    # It begins with another run, so it must be told which.
    chosen = use(name, run="KEY") if name == "body_from" else name
    assert Resolver(catalog).resolve("callbacks", chosen).build({}).name == name


def test_the_plugin_itself_imports_nothing_heavy():
    code = (
        "import sys; import lab_basics.plugin as p; hooks = [getattr(p, n) for n in dir(p) if n.startswith('lab_')];"
        "[hook() for hook in hooks if not hook.__code__.co_argcount];"
        "print([n for n in ('torch', 'numpy', 'torchmetrics', 'tensorboard') if n in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"
