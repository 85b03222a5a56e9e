from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest
from lab_text import corpora, plugin
from lab_text.corpora import Corpus

from lab import hookimpl
from lab.registry.plugins import Catalog


@pytest.fixture
def catalog() -> Catalog:
    fresh = Catalog(strict=True)
    fresh.add_module(plugin, "lab_text")
    return fresh


def test_every_registered_component_can_be_loaded(catalog: Catalog) -> None:
    entries = [entry for registry in catalog.registries.values() for entry in registry.entries()]
    assert {entry.name for entry in entries} >= {"spacy", "fasttext", "tatoeba", "parallel_text", "multi30k"}
    assert all(callable(entry.load()) for entry in entries)


def test_registering_imports_nothing_heavy() -> None:
    heavy = ["torch", "spacy", "numpy", "fasttext", "pooch", "rich", "pandas"]
    script = f"import lab_text.plugin, lab_text.commands, sys; print([n for n in {heavy} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_other_plugins_may_add_corpora(monkeypatch: pytest.MonkeyPatch, catalog: Catalog) -> None:
    def describe() -> Corpus:
        return Corpus(name="mine", title="mine", languages=("fr", "en"), license="CC0", publisher="me")

    catalog.add_module(SimpleNamespace(lab_corpora=hookimpl(lambda: {"mine": describe})), "mine")
    monkeypatch.setattr("lab.registry.plugins.load_catalog", lambda **options: catalog)
    assert corpora.find_corpus("mine").title == "mine"
    assert "mine" in corpora.known_corpora()
