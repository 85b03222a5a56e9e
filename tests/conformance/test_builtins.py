"""Every built-in component keeps its contract: the conformance kit over the registries."""

from __future__ import annotations

from functools import lru_cache

import pytest

from lab.registry.plugins import load_catalog
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
    getattr(_tried(kind), check)()


@lru_cache(maxsize=1)
def _tried(kind: type[Conformance]) -> Conformance:
    """One object for all checks of a component, so that a data set is read once for those that only look at it."""
    return kind()


def test_every_registry_of_a_built_in_plugin_has_components() -> None:
    kinds = {entry.kind for entry in ENTRIES}
    assert kinds == set(CATALOG.registries)


POINTS, TRANSLATION = ["classes", "yes_no", "values"], ["translation"]
FITS = {
    "architectures.mlp": POINTS,
    "architectures.seq2seq_rnn": TRANSLATION,
    "architectures.seq2seq_attn": TRANSLATION,
    "callbacks.one_cycle": ["classes"],
    "callbacks.translations": ["classes", "translation_rnn"],
    "losses.bce": ["yes_no"],
    "losses.cross_entropy": ["classes"],
    "losses.mse": ["values"],
    "losses.seq2seq_loss": TRANSLATION,
    "metrics.accuracy": ["classes", "yes_no"],
    "metrics.bleu": TRANSLATION,
    "metrics.perplexity": ["classes"],
    "metrics.token_perplexity": ["text_pairs", "few_texts", *TRANSLATION],
    "steppers.supervised": ["classes"],
    "steppers.teacher_forcing": ["translation_rnn", "translation"],
}


@pytest.mark.parametrize("name", FITS)
def test_component_is_tried_on_the_data_that_it_is_made_for(name: str) -> None:
    kind, _, component = name.partition(".")
    tried = conformance_of(CATALOG.registries[kind][component], CATALOG)()
    assert [example.name for example in tried.fitting()] == FITS[name]
