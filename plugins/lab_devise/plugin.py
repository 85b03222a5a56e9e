"""What is in here: pictures whose targets are word vectors, and how words and pictures search each other."""

from __future__ import annotations

from typing import Any

from lab import RegistrySpec, hookimpl


@hookimpl
def lab_registries() -> list[RegistrySpec]:
    """Indexes of vectors."""
    return [RegistrySpec("indexes", "index", "lab_devise.indexes:Index", "how near vectors are found")]


@hookimpl
def lab_indexes() -> dict[str, Any]:
    """Exact, and approximate."""
    return {"exact": "lab_devise.indexes:ExactIndex", "nmslib": "lab_devise.indexes:NmslibIndex"}


@hookimpl
def lab_datasets() -> dict[str, Any]:
    """Pictures among words."""
    return {"devise": "lab_devise.data:devise"}


@hookimpl
def lab_corpora() -> dict[str, Any]:
    """Nouns and how they hang together."""
    return {"wordnet_nouns": "lab_devise.words:wordnet_corpus"}


@hookimpl
def lab_losses() -> dict[str, Any]:
    """How far an answer lies from its word."""
    return {
        "cos_loss": "lab_devise.losses:cos_loss",
        "cosine_softmax": "lab_devise.losses:cosine_softmax",
        "hinge_rank": "lab_devise.losses:hinge_rank",
        "vector_l1": "lab_devise.losses:vector_l1",
        "vector_l2": "lab_devise.losses:vector_l2",
    }


@hookimpl
def lab_metrics() -> dict[str, Any]:
    """Whether the right word is near."""
    return {
        "hierarchical_precision": "lab_devise.metrics:HierarchicalPrecision",
        "hit": "lab_devise.metrics:Hit",
    }


@hookimpl
def lab_callbacks() -> dict[str, Any]:
    """What a run leaves to search with."""
    return {"search_page": "lab_devise.callbacks:SearchPage"}


@hookimpl
def lab_learner_methods() -> dict[str, str]:
    """``learner.search(...)``."""
    return {"search": "lab_devise.search:search"}


@hookimpl
def lab_commands() -> dict[str, str]:
    """``lab search``."""
    return {"search": "lab_devise.commands:search"}


@hookimpl
def lab_report_sections(study: Any, runs: Any) -> Any:
    """A page to search, and sheets."""
    from lab_devise.report import sections

    return sections(runs)


@hookimpl
def lab_conformance() -> str:
    """What the conformance kit must know of these components."""
    return "lab_devise.conformance:offer"
