"""Plugin for images with word vectors as targets, and search of images by words."""

from __future__ import annotations

from typing import Any

from lab import hookimpl


@hookimpl
def lab_datasets() -> dict[str, Any]:
    """Dataset of images with word vectors."""
    return {"devise": "lab_devise.data:devise"}


@hookimpl
def lab_corpora() -> dict[str, Any]:
    """WordNet's nouns and hypernyms."""
    return {"wordnet_nouns": "lab_devise.words:wordnet_corpus"}


@hookimpl
def lab_losses() -> dict[str, Any]:
    """Losses between outputs and word vectors."""
    return {
        "cos_loss": "lab_devise.losses:cos_loss",
        "cosine_softmax": "lab_devise.losses:cosine_softmax",
        "hinge_rank": "lab_devise.losses:hinge_rank",
        "vector_l1": "lab_devise.losses:vector_l1",
        "vector_l2": "lab_devise.losses:vector_l2",
    }


@hookimpl
def lab_metrics() -> dict[str, Any]:
    """Metrics of retrieval."""
    return {
        "hierarchical_precision": "lab_devise.metrics:HierarchicalPrecision",
        "hit": "lab_devise.metrics:Hit",
    }


@hookimpl
def lab_callbacks() -> dict[str, Any]:
    """Callbacks that save an index and a search page."""
    return {"search_page": "lab_devise.callbacks:SearchPage"}


@hookimpl
def lab_former_names() -> dict[str, str]:
    """Parameters that were renamed."""
    return {"devise.centre": "center"}


@hookimpl
def lab_learner_methods() -> dict[str, str]:
    """``learner.search(...)``."""
    return {"search": "lab_devise.search:search"}


@hookimpl
def lab_commands() -> dict[str, tuple[str, ...]]:
    """``lab search``."""
    return {"search": ("lab_devise.commands:search", "Search pictures by words, words by pictures.", "Trained models")}


@hookimpl
def lab_report_sections(study: Any, runs: Any) -> Any:
    """Report section with a search page and sheets."""
    from lab_devise.report import sections

    return sections(runs)


@hookimpl
def lab_conformance() -> str:
    """Support for the conformance kit."""
    return "lab_devise.conformance:support"
