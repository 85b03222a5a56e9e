from __future__ import annotations

import inspect
import subprocess
import sys

import pytest
import torch
from lab_attention import plugin as attention
from lab_attention.attention import AdditiveAttention
from lab_basics import plugin as basics
from lab_seq2seq import plugin

from lab.registry.plugins import Catalog
from lab.registry.resolve import Resolver
from tests.plugins.lab_seq2seq.conftest import toy_data

KINDS = ("architectures", "losses", "steppers", "metrics", "callbacks")
NAMES = [(kind, name) for kind in KINDS for name in getattr(plugin, f"lab_{kind}")()]


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    catalog = Catalog(strict=True)
    catalog.add_module(attention, "lab_attention", "0.1.0")
    catalog.add_module(basics, "lab_basics", "0.1.0")
    catalog.add_module(plugin, "lab_seq2seq", "0.1.0")
    return catalog


@pytest.mark.parametrize(("kind", "name"), NAMES)
def test_every_component_resolves_with_its_defaults_and_is_documented(catalog: Catalog, kind: str, name: str) -> None:
    resolver = Resolver(catalog)
    component = resolver.resolve(kind, name)
    assert resolver.problems == []
    assert component.to_json()["plugin"] == "lab_seq2seq 0.1.0"
    assert inspect.getdoc(component.factory)


@pytest.mark.parametrize("name", sorted(plugin.lab_architectures()))
def test_every_architecture_is_built_from_facts_and_runs(catalog: Catalog, name: str) -> None:
    data = toy_data()
    model = Resolver(catalog).resolve("architectures", name).build(data.facts())
    batch = data.collate(data.valid[:3])
    logits = model(batch.source, batch.target, [True] * len(batch.target))
    assert logits.shape == (*batch.target.shape, data.target_vocab_size)
    assert torch.isfinite(logits).all()
    if name.startswith("transformer"):
        return
    assert isinstance(model.attention, AdditiveAttention) == name.endswith("attn")
    assert model.encoder.recurrent.rnn.bidirectional == ("bidir" in name)


@pytest.mark.parametrize("name", sorted(plugin.lab_callbacks()))
def test_a_callback_is_called_as_it_is_registered(catalog: Catalog, name: str) -> None:
    assert Resolver(catalog).resolve("callbacks", name).build({}).name == name


def test_the_plugin_itself_imports_nothing_heavy() -> None:
    code = (
        "import sys; import lab_seq2seq.plugin as p; hooks = [getattr(p, n) for n in dir(p) if n.startswith('lab_')];"
        "[hook() for hook in hooks if hook.__code__.co_argcount == 0];"
        "print([n for n in ('torch', 'numpy', 'sacrebleu', 'matplotlib', 'safetensors') if n in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"
